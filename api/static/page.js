// Small conveniences of every page: printing opens the details, and the print button prints.
"use strict";
(() => {
  function dress() {
    for (const button of document.querySelectorAll("[data-print]")) {
      button.hidden = false;
      button.onclick = () => print();
    }
  }
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll(".signature details")) details.open = true;
  });
  document.addEventListener("xinyin:page", dress);
  dress();
})();
