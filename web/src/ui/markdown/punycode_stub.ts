// Stands where markdown-it expects punycode.js: a browser knows how names are spelled on the wire, and one
// that is spelled that way in a text is better shown so.
export default { toASCII: (name: string) => name, toUnicode: (name: string) => name };
