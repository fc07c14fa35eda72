// Greets by name. An ES module with a top-level await; its handler is an async function.
import { readFile } from "node:fs/promises";

const greetings = JSON.parse(await readFile(new URL("greetings.json", import.meta.url), "utf8"));

export const handler = async (event, context) => {
  const greeting = greetings[event.language] ?? greetings.en;
  console.log("greeting in", event.language, "with", context.getRemainingTimeInMillis() > 0 ? "time left" : "no time left");
  return { message: `${greeting}, ${event.name}, from Node.js.` };
};
