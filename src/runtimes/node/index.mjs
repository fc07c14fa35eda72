/**
 * Runtime client for Node.js functions: takes invocations from the Runtime API and answers them.
 *
 * It behaves as AWS's client does, because functions depend on it: as the client of Node.js 22 and older
 * (callbacks, `context.done`, waiting for an empty event loop) or, from 24 on, as the newer one without them.
 * It speaks HTTP over `net` itself, with one keep-alive connection: less to load at a cold start, less per call.
 * Deliberately absent: any dependency, time-outs (the platform owns time), multi-concurrency, SnapStart and response
 * streaming; a function that asks for streaming fails at its init with an error that says so.
 */
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import util from "node:util";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(import.meta.url);

const API = "/2018-06-01/runtime/";
const MAX_RESPONSE_BYTES = 6_291_556; // 6 MiB + 100, the platform's limit
const MAX_HEAD_BYTES = 1024 * 1024;
const MAX_CAUSE_BYTES = 64 * 1024; // a larger X-Ray cause is dropped by the platform
const EXIT_UNHANDLED_REJECTION = 128;
const EXIT_UNCAUGHT_EXCEPTION = 129;
const FIRST_WITHOUT_CALLBACKS = 24;

const NODE_MAJOR = Number(
  /^AWS_Lambda_nodejs(\d+)\.x$/.exec(process.env.AWS_EXECUTION_ENV ?? "")?.[1] ?? process.versions.node.split(".")[0],
);
const MODERN = NODE_MAJOR >= FIRST_WITHOUT_CALLBACKS;

// ---- Errors ---------------------------------------------------------------------------------------------------------

const named = (name) => {
  const kind = class extends Error {};
  kind.prototype.name = `Runtime.${name}`;
  return kind;
};
const ImportModuleError = named("ImportModuleError");
const HandlerNotFound = named("HandlerNotFound");
const MalformedHandlerName = named("MalformedHandlerName");
const UserCodeSyntaxError = named("UserCodeSyntaxError");
const CallbackHandlerDeprecated = named("CallbackHandlerDeprecated");
const JSONStringifyError = named("JSONStringifyError");
const ResponseStreamingNotBuilt = named("ResponseStreamingNotBuilt");

class UnhandledPromiseRejection extends Error {
  constructor(reason, promise) {
    super(reason);
    this.reason = reason;
    this.promise = promise;
  }
}
UnhandledPromiseRejection.prototype.name = "Runtime.UnhandledPromiseRejection";

const isText = (value) => typeof value === "string" && value !== "";
// DEL is not allowed where the platform repeats these texts.
const withoutDel = (text) => text?.replace(/\x7F/g, "%7F");

/** An error as the document that the caller of the function gets. */
function toDocument(error) {
  try {
    const errorLike = error && isText(error.name) && isText(error.message) && isText(error.stack);
    if (util.types.isNativeError(error) || errorLike) {
      return {
        errorType: withoutDel(error.name),
        errorMessage: withoutDel(error.message),
        trace: withoutDel(error.stack)?.split("\n") ?? [],
      };
    }
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  } catch {
    return {
      errorType: "handled",
      errorMessage:
        "callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack",
    };
  }
}

/** An error as the cause document of X-Ray, in ASCII because it travels as a header. */
function toCause(error) {
  try {
    const stack = [];
    for (const raw of withoutDel(error.stack ?? "").split("\n").slice(1)) {
      const line = raw.trim().replace(/[()]/g, "").replace(/^\S* /, "");
      const cut = line.lastIndexOf(" ");
      const [file, number] = line.slice(cut + 1).split(":");
      stack.push({ path: file, line: parseInt(number), label: cut > 0 ? line.slice(0, cut) : "anonymous" });
    }
    const cause = JSON.stringify({
      working_directory: process.cwd(),
      exceptions: [{ type: withoutDel(error.name), message: withoutDel(error.message), stack }],
      paths: [...new Set(stack.map((entry) => entry.path))],
    }).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
    return cause.length <= MAX_CAUSE_BYTES ? cause : "";
  } catch {
    return "";
  }
}

const intoError = (value) => (value instanceof Error ? value : new Error(value));

function withMembers(_key, error) {
  if (!(error instanceof Error)) return error;
  const members = Object.assign({ errorType: error.name, errorMessage: error.message, code: error.code }, error);
  if (typeof error.stack === "string") members.stack = error.stack.split("\n");
  return members;
}

function toLogText(error) {
  try {
    return "\t" + JSON.stringify(error, withMembers);
  } catch {
    return "\t" + JSON.stringify(toDocument(error));
  }
}

function toJson(value) {
  try {
    return JSON.stringify(value === undefined ? null : value) ?? "null";
  } catch {
    const kind = MODERN ? JSONStringifyError : Error;
    throw new kind("Unable to stringify response body");
  }
}

// ---- Runtime API ----------------------------------------------------------------------------------------------------

/** One connection; one call at a time. It keeps the event loop alive only while a call is under way. */
class Link {
  constructor(host, port) {
    this.host = host;
    this.port = port;
    this.socket = null;
    this.call = null;
  }

  get busy() {
    return this.call !== null;
  }

  /** Sends `head` and `body`; `done(error, answer)` is called once. */
  send(head, body, done) {
    this.call = { head, body, done, reused: this.socket !== null };
    if (this.socket === null) this.#connect();
    this.socket.ref();
    this.#write();
  }

  #write() {
    const { head, body } = this.call;
    this.socket.cork();
    this.socket.write(head, "latin1");
    if (body !== null) this.socket.write(body);
    this.socket.uncork();
  }

  #connect() {
    const socket = net.connect({ host: this.host, port: this.port });
    socket.setNoDelay(true);
    this.socket = socket;
    this.#forget();
    socket.on("data", (chunk) => this.#received(chunk));
    socket.on("error", (error) => this.#lost(socket, error));
    socket.on("close", () => this.#lost(socket, new Error("the Runtime API closed the connection")));
  }

  #forget() {
    this.parts = [];
    this.size = 0;
    this.needed = 0;
  }

  #lost(socket, error) {
    if (this.socket !== socket) return;
    this.socket = null;
    socket.destroy();
    const call = this.call;
    if (call === null) return;
    if (call.reused && this.size === 0) {
      // An idle connection may have been closed by the other side; a fresh one may not.
      call.reused = false;
      this.#connect();
      this.#write();
      return;
    }
    this.call = null;
    // The platform may hang up before it has read an oversized body.
    if (call.body !== null && call.body.length > MAX_RESPONSE_BYTES) call.done(null, { status: 413 });
    else call.done(error, null);
  }

  #received(chunk) {
    if (this.call === null) return this.socket.destroy(); // nobody asked
    this.parts.push(chunk);
    this.size += chunk.length;
    if (this.size < this.needed) return;
    let answer;
    try {
      answer = parseAnswer(this.parts.length === 1 ? chunk : Buffer.concat(this.parts, this.size));
    } catch (error) {
      return this.#lost(this.socket, error);
    }
    if (typeof answer === "number") {
      this.needed = answer;
      return;
    }
    const call = this.call;
    this.#forget();
    this.call = null;
    if (answer.headers.connection?.toLowerCase() === "close") {
      this.socket.destroy();
      this.socket = null;
    } else {
      this.socket.unref();
    }
    call.done(null, answer);
  }
}

/** The answer in `bytes`, or, if it has not arrived completely, how many bytes it takes at least. */
function parseAnswer(bytes, from = 0) {
  const end = bytes.indexOf("\r\n\r\n", from);
  if (end < 0) {
    if (bytes.length > MAX_HEAD_BYTES) throw new Error("the Runtime API sent too long a head");
    return bytes.length + 1;
  }
  const lines = bytes.toString("utf8", from, end).split("\r\n");
  const status = Number(lines[0].split(" ", 2)[1]);
  const start = end + 4;
  if (status < 200) return parseAnswer(bytes, start);
  const headers = {};
  for (let i = 1; i < lines.length; i++) {
    const colon = lines[i].indexOf(":");
    headers[lines[i].slice(0, colon).trim().toLowerCase()] = lines[i].slice(colon + 1).trim();
  }
  if (headers["transfer-encoding"] === "chunked") {
    const body = parseChunks(bytes, start);
    return body === null ? bytes.length + 1 : { status, headers, body };
  }
  const stop = start + Number(headers["content-length"] ?? 0);
  return bytes.length < stop ? stop : { status, headers, body: bytes.subarray(start, stop) };
}

/** The body that begins at `at`, or `null` if it has not arrived completely. */
function parseChunks(bytes, at) {
  const parts = [];
  for (;;) {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) return null;
    const size = parseInt(bytes.toString("latin1", at, end), 16);
    if (Number.isNaN(size)) throw new Error("the Runtime API sent a broken chunk");
    at = end + 2;
    if (bytes.length < at + size + 2) return null;
    if (size === 0) return Buffer.concat(parts);
    parts.push(bytes.subarray(at, at + size));
    at += size + 2;
  }
}

class RuntimeApi {
  constructor(address) {
    const colon = address.lastIndexOf(":");
    this.host = address.slice(0, colon);
    this.port = Number(address.slice(colon + 1));
    this.common = ` HTTP/1.1\r\nHost: ${address}\r\nUser-Agent: hearth-node/${process.versions.node}\r\n`;
    this.nextHead = `GET ${API}invocation/next${this.common}\r\n`;
    this.link = new Link(this.host, this.port);
  }

  next(done) {
    this.link.send(this.nextHead, null, (error, answer) => {
      if (error === null && answer.status !== 200) {
        error = new Error(`Failed to get next invocation. Http response code: ${answer.status}.`);
      }
      if (error !== null) fatal(error);
      done(answer);
    });
  }

  post(where, text, headers, done) {
    const body = Buffer.from(text, "utf8");
    let head = `POST ${API}${where}${this.common}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
    for (const [name, value] of Object.entries(headers)) {
      if (value) head += `${name}: ${value.replace(/[^ -~]/g, "?")}\r\n`;
    }
    // A failure may have to be told while `next` is parked on the usual connection.
    const link = this.link.busy ? new Link(this.host, this.port) : this.link;
    link.send(head + "\r\n", body, done);
  }

  postError(where, error, headers, done) {
    const document = toDocument(error);
    const type = { "Lambda-Runtime-Function-Error-Type": document.errorType };
    this.post(where, JSON.stringify(document), { ...type, ...headers }, done);
  }

  initError(error, done) {
    this.postError("init/error", error, {}, done);
  }
}

/** The platform and this process disagree, or it is gone: there is nobody left to tell. */
function fatal(error) {
  process.stderr.write(`[ERROR] [${Date.now()}] LAMBDA_RUNTIME ${error.message}\n`);
  process.exit(1);
}

/** Continues after an answer was taken, or refused as too large, which the platform settles itself. */
const afterPost = (what, next) => (error, answer) => {
  if (error !== null) fatal(error);
  if (answer.status !== 202) {
    const text = `Failed to post handler ${what}. Http response code: ${answer.status}.`;
    if (answer.status !== 413) fatal(new Error(text));
    process.stderr.write(`[ERROR] [${Date.now()}] LAMBDA_RUNTIME ${text}\n`);
  }
  next();
};

// ---- Logs -----------------------------------------------------------------------------------------------------------

const LOG_JSON = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === "JSON";
const FRAME_TEXT = 0xa55a0003;
const FRAME_JSON = 0xa55a0002;
const LEVELS = {
  TRACE: { name: "TRACE", priority: 1, frame: 0x04 },
  DEBUG: { name: "DEBUG", priority: 2, frame: 0x08 },
  INFO: { name: "INFO", priority: 3, frame: 0x0c },
  WARN: { name: "WARN", priority: 4, frame: 0x10 },
  ERROR: { name: "ERROR", priority: 5, frame: 0x14 },
  FATAL: { name: "FATAL", priority: 6, frame: 0x18 },
};
// Public: logging libraries read the request id here.
const REQUEST_ID = Symbol.for("aws.lambda.runtime.requestId");
const TENANT_ID = Symbol.for("aws.lambda.runtime.tenantId");

function errorMembers(error, stackTrace) {
  return { errorType: error?.constructor?.name ?? "UnknownError", errorMessage: error.message, stackTrace };
}

function replaceErrors(_key, value) {
  if (!(value instanceof Error)) return value;
  const stack = typeof value.stack === "string" ? value.stack.split("\n") : value.stack;
  return Object.assign(errorMembers(value, stack), value);
}

function jsonLine(time, level, message, params) {
  const line = { timestamp: time, level: level.name, requestId: globalThis[REQUEST_ID] };
  if (globalThis[TENANT_ID]) line.tenantId = globalThis[TENANT_ID];
  if (params.length === 0) {
    line.message = message;
    try {
      return JSON.stringify(line, replaceErrors);
    } catch {
      line.message = util.format(message);
      return JSON.stringify(line);
    }
  }
  line.message = util.format(message, ...params);
  const error = [message, ...params].find((param) => param instanceof Error);
  if (error !== undefined) {
    Object.assign(line, errorMembers(error, typeof error.stack === "string" ? error.stack.split("\n") : []));
  }
  return JSON.stringify(line);
}

function textLine(time, level, message, params) {
  const id = globalThis[REQUEST_ID] ?? (MODERN ? "-" : undefined);
  return `${time}\t${id}\t${level.name}\t${util.format(message, ...params)}`;
}

function lineWriter() {
  return (_level, _date, line) => process.stdout.write(line.replace(/\n/g, "\r") + "\n");
}

/** Frames keep a record of several lines one event: type, length, microseconds, text; big-endian. */
function frameWriter(fd) {
  return (level, date, line) => {
    const text = Buffer.from(LOG_JSON ? line : line + "\n", "utf8");
    const frame = Buffer.alloc(16 + text.length);
    frame.writeUInt32BE(((LOG_JSON ? FRAME_JSON : FRAME_TEXT) | level.frame) >>> 0, 0);
    frame.writeUInt32BE(text.length, 4);
    frame.writeBigUInt64BE(BigInt(date.valueOf()) * 1000n, 8);
    text.copy(frame, 16);
    for (let at = 0; at < frame.length; ) at += fs.writeSync(fd, frame, at);
  };
}

function patchConsole() {
  const fd = process.env._LAMBDA_TELEMETRY_LOG_FD;
  delete process.env._LAMBDA_TELEMETRY_LOG_FD;
  const write = fd === undefined ? lineWriter() : frameWriter(parseInt(fd));
  const format = LOG_JSON ? jsonLine : textLine;
  const lowest = LEVELS[process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()] ?? LEVELS.TRACE;
  for (const level of Object.values(LEVELS)) {
    console[level.name.toLowerCase()] =
      level.priority < lowest.priority
        ? () => {}
        : (message, ...params) => {
            const date = new Date();
            write(level, date, format(date.toISOString(), level, message, params));
          };
  }
  console.log = console.info;
}

const logError = (what, error) =>
  LOG_JSON ? console.error(intoError(error)) : console.error(what, toLogText(intoError(error)));

// ---- Handler --------------------------------------------------------------------------------------------------------

function refuseStreaming() {
  throw new ResponseStreamingNotBuilt(
    "Response streaming (awslambda.streamifyResponse) is not built yet in this runtime. Return the response from the handler instead.",
  );
}

function typeIsModule(folder) {
  if (folder.endsWith("/node_modules")) return false;
  const file = path.join(folder, "package.json");
  if (fs.existsSync(file)) {
    try {
      return JSON.parse(fs.readFileSync(file, "utf8"))?.type === "module";
    } catch (error) {
      console.warn(`${file} cannot be read, it will be ignored for ES module detection purposes.`, error);
      return false;
    }
  }
  return folder === "/" ? false : typeIsModule(path.dirname(folder));
}

const importFile = (file) => import(pathToFileURL(file).href);

async function loadFile(base) {
  if (MODERN) {
    const found = ["", ".js", ".mjs", ".cjs"].find((extension) => fs.existsSync(base + extension));
    return found === undefined ? undefined : importFile(base + found);
  }
  if (fs.existsSync(base)) return require(base);
  if (fs.existsSync(base + ".js")) {
    return typeIsModule(path.dirname(base)) ? importFile(base + ".js") : require(base + ".js");
  }
  if (fs.existsSync(base + ".mjs")) return importFile(base + ".mjs");
  return fs.existsSync(base + ".cjs") ? require(base + ".cjs") : undefined;
}

async function loadModule(root, folder, name) {
  try {
    const loaded = await loadFile(path.resolve(root, folder, name));
    return loaded ?? require(require.resolve(name, { paths: [root, path.resolve(root, folder)] }));
  } catch (error) {
    if (error instanceof SyntaxError) {
      const wrapped = new UserCodeSyntaxError(error);
      if (MODERN) wrapped.stack = error.stack;
      throw wrapped;
    }
    if (error?.code === "MODULE_NOT_FOUND") throw new ImportModuleError(error);
    throw error;
  }
}

const member = (object, names) => names.split(".").reduce((nested, name) => nested?.[name], object);

/** Loads the module that `name` (`folder/file.member.member`) speaks of and returns its handler. */
async function loadHandler(root, name) {
  if (name.includes("..")) {
    throw new MalformedHandlerName(
      `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`,
    );
  }
  const last = path.basename(name);
  const match = /^([^.]*)\.(.*)$/.exec(last);
  if (match === null) throw new MalformedHandlerName("Bad handler");
  const module = await loadModule(root, name.slice(0, name.indexOf(last)), match[1]);
  const handler = member(module, match[2]) ?? (MODERN ? member(module.default, match[2]) : undefined);
  if (!handler) throw new HandlerNotFound(`${name} is undefined or not exported`);
  if (typeof handler !== "function") throw new HandlerNotFound(`${name} is not a function`);
  if (MODERN && handler.length >= 3) {
    throw new CallbackHandlerDeprecated(
      "ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later. For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.",
    );
  }
  return handler;
}

// ---- Context --------------------------------------------------------------------------------------------------------

function parseHeader(text, name) {
  if (text === undefined || text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error}`);
  }
}

function addInvocation(context, headers) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  return Object.assign(context, {
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parseHeader(headers["lambda-runtime-client-context"], "ClientContext"),
    identity: parseHeader(headers["lambda-runtime-cognito-identity"], "CognitoIdentity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    tenantId: headers["lambda-runtime-aws-tenant-id"],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  });
}

function enterInvocation(headers) {
  globalThis[REQUEST_ID] = headers["lambda-runtime-aws-request-id"];
  globalThis[TENANT_ID] = headers["lambda-runtime-aws-tenant-id"];
  const trace = headers["lambda-runtime-trace-id"];
  if (trace) process.env._X_AMZN_TRACE_ID = trace;
  else delete process.env._X_AMZN_TRACE_ID;
}

// ---- One invocation -------------------------------------------------------------------------------------------------

/** Answers one invocation; `next` starts the following one. */
class Answer {
  constructor(api, headers, next) {
    this.api = api;
    this.next = next;
    this.path = `invocation/${headers["lambda-runtime-aws-request-id"]}/`;
    this.echo = { "Lambda-Runtime-Invocation-Id": headers["lambda-runtime-invocation-id"] };
  }

  succeed(result) {
    const body = toJson(result);
    this.api.post(this.path + "response", body, this.echo, afterPost("success response", this.next));
  }

  fail(error) {
    logError("Invoke Error", error);
    this.post(error, this.next);
  }

  post(error, next) {
    const headers = { "Lambda-Runtime-Function-XRay-Error-Cause": toCause(error), ...this.echo };
    this.api.postError(this.path + "error", error, headers, afterPost("failure", next));
  }
}

const state = {
  /** What to do when the event loop runs empty. */
  whenEmpty: () => {},
  /** Where an uncaught error goes: `(error, exit)`. */
  tell: null,
};

/** The callback and the context members of Node.js 22 and older; only the first of them counts. */
function callbacks(answer) {
  let waits = true;
  let finished = false;
  const once = (act) => (...args) => {
    if (finished) return;
    state.whenEmpty = () => {};
    act(...args);
    finished = true; // after `act`: a result that cannot be serialised may still be reported as a failure
  };
  const done = (error, result) => {
    if (error !== undefined && error !== null) answer.fail(error);
    else answer.succeed(result);
  };
  const callback = once((error, result) => {
    if ((error !== undefined && error !== null) || !waits) return done(error, result);
    state.whenEmpty = () => {
      state.whenEmpty = () => {};
      answer.succeed(result);
    };
  });
  const context = {
    get callbackWaitsForEmptyEventLoop() {
      return waits;
    },
    set callbackWaitsForEmptyEventLoop(value) {
      waits = value;
    },
    succeed: once((result) => done(null, result)),
    fail: once((error) => done(error ?? "handled")),
    done: once(done),
  };
  const neverCalled = () => {
    finished = true;
    state.whenEmpty = () => {};
    answer.succeed(null);
  };
  return { callback, context, neverCalled };
}

function invokeWithCallbacks(handler, headers, body, answer) {
  const { callback, context, neverCalled } = callbacks(answer);
  state.tell = (error, exit) => answer.post(error, exit);
  state.whenEmpty = neverCalled;
  try {
    const result = handler(JSON.parse(body), addInvocation(context, headers), callback);
    if (typeof result?.then === "function") result.then(context.succeed, context.fail).catch(context.fail);
  } catch (error) {
    callback(error);
  }
}

async function invokeModern(handler, headers, body, answer) {
  try {
    const result = await handler(JSON.parse(body), addInvocation({}, headers));
    answer.succeed(result);
  } catch (error) {
    answer.fail(error);
  }
}

function serve(api, handler) {
  const invoke = MODERN ? invokeModern : invokeWithCallbacks;
  const next = () =>
    setImmediate(() =>
      api.next(({ headers, body }) => {
        enterInvocation(headers);
        invoke(handler, headers, body.toString("utf8"), new Answer(api, headers, next));
      }),
    );
  next();
}

// ---- Start ----------------------------------------------------------------------------------------------------------

/** Node.js 24 and newer end by themselves on an uncaught error, and AWS's client lets them. */
function catchTheUncaught(api) {
  state.tell = (error, exit) => api.initError(error, exit);
  process.on("uncaughtException", (error) => {
    logError("Uncaught Exception", error);
    state.tell(error, () => process.exit(EXIT_UNCAUGHT_EXCEPTION));
  });
  process.on("unhandledRejection", (reason, promise) => {
    const error = new UnhandledPromiseRejection(reason, promise);
    logError("Unhandled Promise Rejection", error);
    state.tell(error, () => process.exit(EXIT_UNHANDLED_REJECTION));
  });
  process.on("beforeExit", () => state.whenEmpty());
}

async function main() {
  patchConsole();
  if (!/^(1|true)$/.test(process.env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA ?? "")) {
    globalThis.awslambda = { streamifyResponse: refuseStreaming, HttpResponseStream: { from: refuseStreaming } };
  }
  const api = new RuntimeApi(process.env.AWS_LAMBDA_RUNTIME_API);
  if (!MODERN) catchTheUncaught(api);
  let handler;
  try {
    handler = await loadHandler(process.env.LAMBDA_TASK_ROOT ?? "/var/task", process.env._HANDLER ?? "");
  } catch (error) {
    logError(MODERN ? "Init Error" : "Uncaught Exception", error);
    api.initError(error, () => process.exit(MODERN ? 1 : EXIT_UNCAUGHT_EXCEPTION));
    return;
  }
  serve(api, handler);
}

await main();
