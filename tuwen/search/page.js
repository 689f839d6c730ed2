// Runs before the body is shown, so that nothing flickers.
const root = document.documentElement;
root.lang = (navigator.language || "zh").startsWith("zh") ? "zh" : "en";
root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
function turnLanguage() { root.lang = root.lang === "zh" ? "en" : "zh"; }
function turnTheme() { root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; }
