  // Beside the pointer stands what the nearest point of a figure says.
  const nearest = 60;
  const said = document.createElement("div");
  said.className = "said-by-point";
  said.hidden = true;
  document.body.append(said);

  function tell(points, event) {
    let least = nearest;
    said.hidden = true;
    for (const point of points) {
      const { x, y, width, height } = point.getBoundingClientRect();
      const [left, top] = [x + width / 2, y + height / 2];
      const distance = Math.hypot(left - event.clientX, top - event.clientY);
      if (distance >= least) continue;
      least = distance;
      said.textContent = point.dataset.says;
      said.hidden = false;
      said.classList.toggle("to-the-left", left > window.innerWidth / 2);
      said.style.left = `${left + window.scrollX}px`;
      said.style.top = `${top + window.scrollY}px`;
    }
  }

  for (const figure of document.querySelectorAll("figure.plot > svg")) {
    const points = [...figure.querySelectorAll("[data-says]")];
    for (const kind of ["pointerdown", "pointermove"]) {
      figure.addEventListener(kind, (event) => tell(points, event));
    }
    figure.addEventListener("pointerleave", () => { said.hidden = true; });
  }
