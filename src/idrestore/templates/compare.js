const show = () => {
  const root = element.querySelector(".compare");
  if (!root || root.dataset.ready) return;
  root.dataset.ready = "yes";
  const [view, pictures, after, cut, where, zoom, output] = [
    ".view", ".pictures", ".after", ".cut", ".where", ".zoom", "output",
  ].map((name) => root.querySelector(name));
  const update = () => {
    const left = view.scrollLeft + (where.value / 100) * view.clientWidth;
    after.style.clipPath = `inset(0 0 0 ${left}px)`;
    cut.style.left = `${left}px`;
  };
  where.oninput = update;
  view.onscroll = update;
  zoom.oninput = () => {
    const [x, y] = [view.scrollLeft + view.clientWidth / 2, view.scrollTop + view.clientHeight / 2];
    const factor = zoom.value / output.value;
    output.value = zoom.value;
    view.style.height = `${view.clientHeight}px`; // or the view would grow with the picture
    pictures.style.width = `${zoom.value * 100}%`;
    view.scrollTo(x * factor - view.clientWidth / 2, y * factor - view.clientHeight / 2);
    update();
  };
  view.onpointermove = (event) => {
    if (!(event.buttons & 1) || event.pointerType !== "mouse") return; // a finger scrolls
    where.value = (100 * (event.clientX - view.getBoundingClientRect().left)) / view.clientWidth;
    update();
  };
  after.decode().then(update, () => {});
  new ResizeObserver(update).observe(view);
};
watch("value", show);
show();
