// Two turns and an error through ResponsesWS; prints what came as one JSON object.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const [baseURL, apiKey] = process.argv.slice(2);
const socket = new ResponsesWS(new OpenAI({ baseURL, apiKey }));
const turns = [];

function ask(request) {
  return new Promise((resolve, reject) => {
    const kinds = [];
    let text = "";
    const take = (event) => {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
      if (["response.completed", "response.failed", "error"].includes(event.type)) {
        socket.off("event", take);
        resolve({ kinds, text, last: event });
      }
    };
    socket.on("event", take);
    socket.on("error", (error) => {
      if (!error.error) reject(error); // an error event of the server comes as an event, too
    });
    socket.send({ type: "response.create", ...request });
  });
}

const first = await ask({ model: "scripted", input: "first" });
turns.push(first.text);
const second = await ask({ model: "scripted", input: "second", previous_response_id: first.last.response.id });
turns.push(second.text);
const refused = await ask({ model: "nobody", input: "x" });
console.log(JSON.stringify({ turns, kinds: first.kinds, code: refused.last.error.code }));
socket.close();
