// Small comforts of all pages. Every page works without them.

for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  if (!source || !navigator.clipboard) continue;
  const label = button.textContent;
  button.hidden = false;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

// A picture that cannot be shown gives its place to its text.
for (const picture of document.querySelectorAll(".thumbnail img")) {
  const mark = () => picture.parentElement.classList.add("missing");
  if (picture.complete && !picture.naturalWidth && picture.currentSrc) mark();
  picture.addEventListener("error", mark);
}
