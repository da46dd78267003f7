// The page is a client of the service's own API (/docs): it sends photos as jobs, and shows what becomes of them.

const { session, text, cards } = JSON.parse(document.querySelector("#data").textContent);
const get = (selector, root = document) => root.querySelector(selector);
const [POLL_INTERVAL, PREVIEW_DELAY, RETRY_DELAY, SENT_AHEAD] = [400, 250, 3000, 2]; // ms, and photos at once
const LANGUAGE = { "Accept-Language": document.documentElement.lang };
const ACTIVE = ["sending", "waiting", "working"];

const photos = []; // {file, name, url, state, progress, job, error, controls, asked, restoredWith}
let current = null;
let preview = null; // {controller, said, trouble}
let polling = null;
let lost = ""; // why the service cannot be asked

const fill = (pattern, values) => pattern.replace(/\{(\w+)\}/g, (_, name) => values[name]);

// The service

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { headers: LANGUAGE, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new Error(text.lost), { status: 0 });
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const { error } = await answer.json().catch(() => ({ error: answer.statusText }));
  throw Object.assign(new Error(error), { status: answer.status });
}

function send(photo) {
  // fetch does not say how much is sent.
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/jobs");
    request.responseType = "json";
    request.setRequestHeader("Accept-Language", LANGUAGE["Accept-Language"]);
    request.upload.onprogress = (event) => {
      photo.progress = event.total ? event.loaded / event.total : 0;
      show();
    };
    request.onload = () =>
      request.status === 202
        ? resolve(request.response)
        : reject(Object.assign(new Error(request.response?.error ?? request.statusText), { status: request.status }));
    request.onerror = () => reject(Object.assign(new Error(text.lost), { status: 0 }));
    request.onabort = () => resolve(null);
    photo.request = request;
    const form = formOf(photo);
    form.append("session", session);
    form.append("photo", photo.file, photo.name);
    request.send(form);
  });
}

function formOf(photo, more = {}) {
  const form = new FormData();
  form.append("model", get("#model").value);
  form.append("guard", get("#guard").checked);
  form.append("controls", Object.entries(photo.controls).map(([name, value]) => `${name}=${value}`).join(","));
  for (const [name, value] of Object.entries(more)) form.append(name, value);
  return form;
}

async function sendNext() {
  const busy = photos.filter((photo) => ACTIVE.includes(photo.state)).length;
  const photo = photos.find((each) => each.state === "new");
  if (!photo || busy >= SENT_AHEAD) return;
  Object.assign(photo, { state: "sending", progress: 0, error: "", asked: wanted(photo) });
  show();
  sendNext();
  try {
    take(photo, await send(photo));
  } catch (error) {
    await failed(photo, error);
  }
  poll();
  sendNext();
}

async function restoreAgain(photo) {
  if (!photo.job) {
    photo.state = "new";
    return sendNext();
  }
  Object.assign(photo, { state: "waiting", progress: 0, error: "", asked: wanted(photo) });
  clearPreview();
  show();
  try {
    take(photo, await ask(`/jobs/${photo.job.id}/restore`, { method: "POST", body: formOf(photo) }));
  } catch (error) {
    if (error.status === 404) photo.job = null;
    await failed(photo, error, () => restoreAgain(photo));
  }
  poll();
}

async function failed(photo, error, again = sendNext) {
  if (error.status === 404 && !photo.job) {
    photo.state = "new"; // it was forgotten: it is still here to be sent
    return sendNext();
  }
  if (error.status === 429 && photos.includes(photo)) {
    photo.state = photo.job ? "waiting" : "new";
    show();
    await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY));
    return photo.job ? again() : undefined;
  }
  Object.assign(photo, { state: "failed", error: error.message });
  show();
}

function take(photo, job) {
  if (!job || !photos.includes(photo)) {
    if (job) ask(`/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});
    return;
  }
  if (job.version > (photo.job?.version ?? 0)) photo.restoredWith = photo.asked;
  Object.assign(photo, { job, state: job.state, progress: job.progress, error: job.error });
  show();
}

function poll() {
  if (polling || !photos.some((photo) => ["waiting", "working"].includes(photo.state))) return;
  polling = setTimeout(async () => {
    try {
      const jobs = await ask(`/sessions/${session}`);
      for (const photo of photos.filter((each) => each.job)) {
        const job = jobs.find(({ id }) => id === photo.job.id);
        if (job) take(photo, job);
        else Object.assign(photo, { job: null, state: "new" }); // the service was started anew: send it again
      }
      lost = "";
    } catch (error) {
      lost = error.message;
    }
    show();
    polling = null;
    sendNext();
    poll();
  }, POLL_INTERVAL);
}

// Photos come and go

function add(files) {
  const images = [...files].filter((file) => file.size);
  for (const file of images) {
    const name = file.name || "photo.png";
    photos.push({ file, name, url: URL.createObjectURL(file), state: "new", progress: 0, error: "", controls: {} });
  }
  if (!images.length) return;
  choose(photos[photos.length - images.length]);
  sendNext();
}

function remove(photo) {
  photo.request?.abort();
  if (photo.job) ask(`/jobs/${photo.job.id}`, { method: "DELETE" }).catch(() => {});
  URL.revokeObjectURL(photo.url);
  const index = photos.indexOf(photo);
  photos.splice(index, 1);
  photo.card?.remove();
  if (photo === current) choose(photos[Math.min(index, photos.length - 1)] ?? null);
  show();
  sendNext();
}

function choose(photo) {
  clearPreview();
  current = photo;
  stage.shown = "";
  setZoom(false);
  show();
  if (photo) scrollTo({ top: 0, behavior: "smooth" });
}

// What is shown

function show() {
  get("#empty").hidden = photos.length > 0;
  get("#work").hidden = !photos.length;
  get("#batch").classList.toggle("single", photos.length === 1);
  photos.forEach(showCard);
  if (!current) return;
  showStage();
  showSide();
  const ready = photos.filter((photo) => photo.job?.version);
  const all = get("#downloadAll");
  all.hidden = ready.length < 2;
  all.textContent = fill(text.downloadAll, { count: ready.length });
  all.href = `/archive?${ready.map((photo) => `job=${photo.job.id}`).join("&")}`;
}

function showCard(photo) {
  if (!photo.card) {
    photo.card = get("#card").content.firstElementChild.cloneNode(true);
    get("#cards").append(photo.card);
    const picture = get("img", photo.card);
    picture.src = photo.url;
    picture.onerror = () => picture.classList.add("broken"); // a TIFF, which browsers do not show; or no photo
    picture.onload = () => picture.classList.remove("broken");
    get(".name", photo.card).textContent = photo.name;
    get(".photo", photo.card).onclick = () => choose(photo);
    get(".remove", photo.card).onclick = () => remove(photo);
    get(".remove", photo.card).ariaLabel = fill(text.remove, photo);
  }
  const [picture, progress] = [get("img", photo.card), get("progress", photo.card)];
  if (photo.job && picture.complete && !picture.naturalWidth && !photo.asksPicture) {
    photo.asksPicture = true;
    picture.src = `/jobs/${photo.job.id}/before.webp`;
  }
  get(".state", photo.card).textContent = stateText(photo);
  get(".photo", photo.card).setAttribute("aria-current", photo === current);
  photo.card.className = photo.state;
  progress.hidden = !ACTIVE.includes(photo.state);
  showProgress(progress, photo);
}

function stateText(photo) {
  const key = photo.state === "done" && isUnchanged(photo) ? "unchanged" : photo.state;
  const percent = ACTIVE.includes(photo.state) && photo.progress ? ` ${Math.round(100 * photo.progress)} %` : "";
  return text[key] + percent;
}

function showProgress(element, photo) {
  if (photo.progress) element.value = photo.progress;
  else element.removeAttribute("value");
  element.ariaLabel = stateText(photo);
}

const stage = { element: get("#stage"), view: get("#stage .view"), compare: get(".compare"), shown: "" };

function showStage() {
  const { id, version } = current.job ?? {};
  const key = `${photos.indexOf(current)} ${current.name} ${id} ${version}`;
  if (stage.shown === key) return;
  stage.shown = key;
  const [before, after] = [get(".before", stage.compare), get(".after", stage.compare)];
  before.src = id ? `/jobs/${id}/before.webp` : current.url;
  before.alt = `${text.before}: ${current.name}`;
  before.onload = () => before.classList.remove("broken") || fit();
  before.onerror = () => before.classList.add("broken");
  stage.element.classList.toggle("alone", !version);
  stage.compare.toggleAttribute("data-empty", !version);
  if (version) {
    after.src = `/jobs/${id}/after.webp?version=${version}`;
    after.alt = `${text.after}: ${current.name}`;
  } else {
    after.removeAttribute("src");
    after.alt = "";
  }
}

function fit() {
  const before = get(".before", stage.compare);
  const [width, height] = [current?.job?.width ?? before.naturalWidth, current?.job?.height ?? before.naturalHeight];
  if (!width) return;
  const most = parseFloat(getComputedStyle(stage.view).maxHeight);
  const scale = Math.min(stage.view.clientWidth / width, most / height);
  stage.view.style.height = `${height * scale}px`;
  const factor = stage.zoomed ? Math.max(2, Math.min(1 / scale, 8)) : 1;
  stage.compare.style.width = `${width * scale * factor}px`;
  stage.compare.style.height = `${height * scale * factor}px`;
  moveLine();
}

function moveLine() {
  const { compare, view } = stage;
  const box = compare.getBoundingClientRect();
  const seen = view.getBoundingClientRect();
  const [left, right] = [Math.max(box.left, seen.left), Math.min(box.right, seen.right)];
  const at = left + ((right - left) * get(".divider").value) / 100 - box.left;
  compare.style.setProperty("--cut", `${at}px`);
}

function setZoom(zoomed) {
  const button = get(".zoom");
  stage.zoomed = zoomed;
  stage.element.classList.toggle("zoomed", zoomed);
  button.setAttribute("aria-pressed", zoomed);
  button.textContent = zoomed ? text.fit : text.enlarge;
  fit();
  const { view } = stage;
  if (zoomed) view.scrollTo((view.scrollWidth - view.clientWidth) / 2, (view.scrollHeight - view.clientHeight) / 2);
  moveLine();
}

function showSide() {
  const photo = current;
  const isActive = ACTIVE.includes(photo.state);
  const isChanged = photo.job?.version && !same(wanted(photo), photo.restoredWith);
  const found = photo.job?.version ? photo.job.sentence : text[photo.state];
  say(get("#said"), isActive ? stateText(photo) : preview?.said || found);
  const doubt = photo.job?.unsure;
  say(get("#insist"), doubt && !isActive && !preview ? fill(text.insist, { name: text[doubt] ?? doubt }) : "");
  say(get("#trouble"), lost || preview?.trouble || (photo.state === "failed" ? photo.error : ""));
  const progress = get("#progress");
  progress.hidden = !isActive;
  showProgress(progress, photo);
  const download = get("#download");
  download.hidden = !photo.job?.version || isActive;
  if (photo.job) download.href = `/jobs/${photo.job.id}/result`;
  download.classList.toggle("primary", !isChanged);
  get("#again").hidden = !isChanged || isActive;
  get("#againAll").hidden = get("#again").hidden || photos.length < 2;
  get("#cancel").hidden = !isActive;
  get("#options").hidden = stage.element.hidden = photo.state === "failed" && !photo.job; // it is no photo
  get("#retry").hidden = !["failed", "cancelled"].includes(photo.state);
  showNotes(photo.job?.notes ?? []);
  showIngredients(photo);
}

function showNotes(notes) {
  get("#notes").hidden = !notes.length;
  get("#notes ul").replaceChildren(...notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
}

function say(element, message) {
  // What has not changed is not said again by a screen reader.
  if (element.textContent !== message) element.textContent = message;
  element.hidden = !message;
}

const isUnchanged = (photo) => Boolean(photo.job?.unchanged);
const wanted = (photo) => ({ ...photo.controls, model: get("#model").value, guard: get("#guard").checked });
const same = (one, other = {}) => JSON.stringify(Object.entries(one).sort()) === JSON.stringify(Object.entries(other).sort());

// Ingredients

function showIngredients(photo) {
  const card = cards.find(({ name }) => name === get("#model").value);
  const names = card.degradations.filter((name) => name !== "clean");
  get("#licence").textContent = `${text.weights}: ${card.licence || "?"}`;
  const box = get("#ingredients");
  if (box.dataset.names !== names.join()) {
    box.dataset.names = names.join();
    box.replaceChildren(...names.map(makeIngredient));
  }
  for (const element of box.children) updateIngredient(element, photo);
}

function makeIngredient(name) {
  const element = get("#ingredient").content.firstElementChild.cloneNode(true);
  element.dataset.name = name;
  get("legend", element).textContent = text[name] ?? name;
  get(".unsure", element).textContent = text.unsure;
  for (const value of ["auto", "off", "on"]) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name, value });
    label.append(input, text[value]);
    input.onchange = () => setControl(name, value, element);
    get(".choice", element).append(label);
  }
  const amount = get("input[type=range]", element);
  amount.ariaLabel = fill(text.amount, { name: text[name] ?? name });
  amount.oninput = () => setControl(name, "on", element);
  return element;
}

function setControl(name, value, element) {
  if (value === "auto") delete current.controls[name];
  else current.controls[name] = value === "off" ? "off" : get("input[type=range]", element).value / 100;
  tryPart();
  showSide();
}

function updateIngredient(element, photo) {
  const { name } = element.dataset;
  const value = photo.controls[name] ?? "auto";
  const share = photo.job?.version ? (photo.job.ingredients[name] ?? 0) : null;
  const isOn = typeof value === "number";
  get(`input[value=${isOn ? "on" : value}]`, element).checked = true;
  const amount = get("input[type=range]", element);
  amount.hidden = !isOn;
  if (isOn) amount.value = 100 * value;
  get("meter", element).value = share ?? 0;
  get("meter", element).ariaLabel = text[name] ?? name;
  const percent = share === null ? "" : `${Math.round(100 * share)} %`;
  get(".share", element).textContent = isOn ? `${amount.value} %` : percent;
  get(".unsure", element).hidden = value !== "auto" || photo.job?.unsure !== name;
}

// The preview of a part

function clearPreview() {
  preview?.controller.abort();
  preview = null;
  get(".part", stage.compare).hidden = true;
  get(".frame", stage.compare).hidden = true;
}

function tryPart() {
  preview?.controller.abort();
  const photo = current;
  if (!photo.job || same(wanted(photo), photo.restoredWith)) return clearPreview();
  const mine = (preview = { controller: new AbortController(), said: text.previewing, trouble: "" });
  const { signal } = mine.controller;
  setTimeout(async () => {
    if (signal.aborted) return;
    get(".frame", stage.compare).classList.add("busy");
    try {
      const body = formOf(photo, seenMiddle());
      const part = await ask(`/jobs/${photo.job.id}/preview`, { method: "POST", body, signal });
      showPart(part, photo.job);
      mine.said = text.previewNote;
    } catch (error) {
      if (error.name === "AbortError") return;
      Object.assign(mine, { said: "", trouble: error.message });
    }
    get(".frame", stage.compare).classList.remove("busy");
    showSide();
  }, PREVIEW_DELAY);
}

function seenMiddle() {
  const [box, seen] = [stage.compare.getBoundingClientRect(), stage.view.getBoundingClientRect()];
  const middle = (from, to, start, length) => ((Math.max(from, start) + Math.min(to, start + length)) / 2 - start) / length;
  return {
    across: middle(seen.left, seen.right, box.left, box.width).toFixed(4),
    down: middle(seen.top, seen.bottom, box.top, box.height).toFixed(4),
  };
}

function showPart(part, job) {
  const [picture, frame] = [get(".part", stage.compare), get(".frame", stage.compare)];
  const share = (value, whole) => `${(100 * value) / whole}%`;
  for (const { style } of [picture, frame]) {
    style.left = share(part.left, job.width);
    style.top = share(part.top, job.height);
    style.width = share(part.width, job.width);
    style.height = share(part.height, job.height);
  }
  picture.src = part.after;
  picture.alt = text.preview;
  picture.hidden = frame.hidden = false;
}

// What people do

get("#files").onchange = ({ target }) => {
  add(target.files);
  target.value = "";
};
for (const button of document.querySelectorAll("[data-choose]")) button.onclick = () => get("#files").click();
for (const button of document.querySelectorAll("[data-example]")) {
  button.onclick = async () => {
    const { example } = button.dataset;
    const photo = await (await fetch(`/examples/${example}/photo`)).blob();
    add([new File([photo], `${example}.jpg`, { type: photo.type })]);
  };
}
addEventListener("paste", ({ clipboardData }) => add(clipboardData.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  get("#veil").hidden = ![...event.dataTransfer.types].includes("Files");
});
addEventListener("dragleave", (event) => event.relatedTarget || (get("#veil").hidden = true));
addEventListener("drop", (event) => {
  event.preventDefault();
  get("#veil").hidden = true;
  add(event.dataTransfer.files);
});
get(".divider").oninput = moveLine;
get(".zoom").onclick = () => setZoom(!stage.zoomed);
stage.view.onscroll = moveLine;
stage.compare.onpointerdown = (event) => {
  if (stage.zoomed && event.pointerType !== "mouse") return; // a finger scrolls
  event.preventDefault();
  stage.compare.setPointerCapture(event.pointerId);
  stage.compare.onpointermove = drag;
  drag(event);
};
stage.compare.onpointerup = stage.compare.onpointercancel = () => (stage.compare.onpointermove = null);
function drag({ clientX }) {
  const [box, seen] = [stage.compare.getBoundingClientRect(), stage.view.getBoundingClientRect()];
  const [left, right] = [Math.max(box.left, seen.left), Math.min(box.right, seen.right)];
  get(".divider").value = (100 * (clientX - left)) / (right - left);
  moveLine();
}
new ResizeObserver(fit).observe(stage.view);
get("#again").onclick = () => restoreAgain(current);
get("#againAll").onclick = () => {
  for (const photo of photos) {
    photo.controls = { ...current.controls };
    restoreAgain(photo);
  }
};
get("#retry").onclick = () => restoreAgain(current);
get("#cancel").onclick = () => {
  const photo = current;
  photo.request?.abort();
  if (photo.job) ask(`/jobs/${photo.job.id}/cancel`, { method: "POST" }).then((job) => take(photo, job), () => {});
  photo.state = "cancelled";
  show();
  sendNext();
};
get("#model").onchange = get("#guard").onchange = () => {
  if (!current) return;
  tryPart();
  showSide();
};
// A page that is closed takes its photos with it.
addEventListener("pagehide", () => photos.length && fetch(`/sessions/${session}`, { method: "DELETE", keepalive: true }));
addEventListener("pageshow", ({ persisted }) => persisted && photos.length && location.reload());
setInterval(() => photos.length && ask(`/sessions/${session}`).catch(() => {}), 60_000);
if (matchMedia("(min-width: 50rem)").matches) get("#options").open = true;
