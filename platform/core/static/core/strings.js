/* Words and addresses that the server renders for the modules: strings.copied, strings.error404.
   They stand as data- attributes of <div id="strings"> in core/_foot.html. */

export const strings = document.getElementById("strings")?.dataset ?? {};

export function fill(text, values) {
  return Object.entries(values).reduce((made, [name, value]) => made.replace(`{${name}}`, value), text ?? "");
}

export function cookie(name) {
  const found = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}
