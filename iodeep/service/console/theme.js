// Before the first paint: the theme that was chosen, dark where none was.
document.documentElement.dataset.theme = localStorage.getItem("iodeep.theme") === "light" ? "light" : "dark";
