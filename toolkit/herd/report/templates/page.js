// Every page: tables that sort, light or dark, and paper.

// --- tables

function sortable(table) {
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sortBy(table, heading));
    heading.append(button);
  }
}

function sortBy(table, heading) {
  const ascending = heading.ariaSort !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.ariaSort = ascending ? "ascending" : "descending";
  const body = table.tBodies[0];
  const key = (row) => row.cells[heading.cellIndex];
  body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b), ascending)));
}

// Numbers come before words, and what is unknown comes last whichever way it is sorted.
function compare(a, b, ascending) {
  const [one, other] = [a, b].map((cell) => cell.dataset.value);
  if (one !== undefined && other !== undefined) return ascending ? one - other : other - one;
  if (one !== undefined || other !== undefined) return one === undefined ? 1 : -1;
  const order = a.textContent.localeCompare(b.textContent, "en", { numeric: true });
  return ascending ? order : -order;
}

document.querySelectorAll("table.sortable").forEach(sortable);

// --- light and dark: the system's until the button is pressed

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const theme = document.getElementById("theme");

function isDark() {
  return root.style.colorScheme ? root.style.colorScheme === "dark" : system.matches;
}

function setScheme(scheme) {
  root.style.colorScheme = scheme;
  theme.textContent = isDark() ? "Light" : "Dark";
  theme.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  root.dispatchEvent(new Event("repaint"));
}

theme.hidden = false;
theme.addEventListener("click", () => setScheme(isDark() ? "light" : "dark"));
system.addEventListener("change", () => setScheme(root.style.colorScheme));
setScheme("");

// --- paper is white

let before;
addEventListener("beforeprint", () => {
  before = root.style.colorScheme;
  setScheme("light");
});
addEventListener("afterprint", () => setScheme(before));
