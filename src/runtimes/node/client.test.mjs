/**
 * Tests of the Node.js runtime client against a stub of the Runtime API.
 *
 * Each test starts the client as a process of its own, as the platform does, hands it events and looks at what it
 * posts, prints and exits with. Runs without the daemon: `node --test src/runtimes/node/client.test.mjs`.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const CLIENT = fileURLToPath(new URL("index.mjs", import.meta.url));
const ARN = "arn:aws:lambda:us-east-1:000000000000:function:demo";
const PATIENCE_MS = 20_000;
const ECHO = "exports.handler = async (event) => event;";
const STAMP = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;

const requestId = (number) => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
const responsePath = (number) => `/2018-06-01/runtime/invocation/${requestId(number)}/response`;
const errorPath = (number) => `/2018-06-01/runtime/invocation/${requestId(number)}/error`;
const INIT_ERROR = "/2018-06-01/runtime/init/error";

/** Hands out events in order and remembers what was posted; calls `settled` when nothing is left to do. */
function startStub({ events, answers = [], dropIdle = false, chunked = false }, settled) {
  const stub = { posts: [], connections: 0 };
  let given = 0;
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      if (request.method === "POST") {
        stub.posts.push({ path: request.url, headers: request.headers, body: Buffer.concat(parts).toString() });
        if (dropIdle) response.on("finish", () => request.socket.destroy());
        response.writeHead(answers.shift() ?? 202, { "Content-Length": 15 }).end('{"status":"OK"}');
        return;
      }
      if (given === events.length) return settled();
      const entry = events[given];
      const [event, headers] = Array.isArray(entry) ? entry : [entry, {}];
      const body = Buffer.from(typeof event === "string" ? event : JSON.stringify(event));
      response.writeHead(200, {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": requestId(given),
        "Lambda-Runtime-Deadline-Ms": String(Date.now() + 30_000),
        "Lambda-Runtime-Invoked-Function-Arn": ARN,
        ...(chunked ? {} : { "Content-Length": body.length }),
        ...headers,
      });
      given += 1;
      if (chunked) for (let at = 0; at < body.length; at += 1000) response.write(body.subarray(at, at + 1000));
      response.end(chunked ? undefined : body);
    });
  });
  server.on("connection", () => (stub.connections += 1));
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      stub.address = `127.0.0.1:${server.address().port}`;
      stub.close = () => {
        server.close();
        server.closeAllConnections();
      };
      resolve(stub);
    });
  });
}

/** Runs the client until it waits for an event that does not come, or exits. */
async function runClient(source, options = {}) {
  const { handler = "index.handler", environ = {}, files = {}, framed = false, runtime = 20 } = options;
  const task = fs.mkdtempSync(path.join(os.tmpdir(), "client-test-"));
  const settled = Promise.withResolvers?.() ?? withResolvers();
  const stub = await startStub({ events: [{}], ...options }, () => settled.resolve("parked"));
  const frames = path.join(task, ".frames");
  const fd = framed ? fs.openSync(frames, "w") : "ignore";
  try {
    for (const [name, text] of Object.entries(source === null ? files : { "index.js": source, ...files })) {
      fs.mkdirSync(path.dirname(path.join(task, name)), { recursive: true });
      fs.writeFileSync(path.join(task, name), text);
    }
    const child = spawn(process.execPath, [CLIENT], {
      cwd: task,
      stdio: ["ignore", "pipe", "pipe", fd],
      env: {
        AWS_LAMBDA_RUNTIME_API: stub.address,
        _HANDLER: handler,
        LAMBDA_TASK_ROOT: task,
        AWS_EXECUTION_ENV: `AWS_Lambda_nodejs${runtime}.x`,
        AWS_LAMBDA_FUNCTION_NAME: "demo",
        AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "128",
        AWS_LAMBDA_LOG_GROUP_NAME: "/aws/lambda/demo",
        AWS_LAMBDA_LOG_STREAM_NAME: "2024/05/01/[$LATEST]0123",
        ...(framed ? { _LAMBDA_TELEMETRY_LOG_FD: "3" } : {}),
        ...environ,
      },
    });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (output[name] += text));
    const closed = new Promise((resolve) => child.on("close", resolve));
    const patience = setTimeout(() => settled.resolve("stuck"), PATIENCE_MS);
    const how = await Promise.race([settled.promise, closed.then(() => "exited")]);
    clearTimeout(patience);
    if (how !== "exited") child.kill("SIGKILL");
    await closed;
    assert.notEqual(how, "stuck", `the client neither exited nor asked for the next event: ${output.stderr}`);
    const framesRead = framed ? parseFrames(fs.readFileSync(frames)) : [];
    return { ...output, posts: stub.posts, connections: stub.connections, code: child.exitCode, frames: framesRead, task };
  } finally {
    stub.close();
    if (framed) fs.closeSync(fd);
    fs.rmSync(task, { recursive: true });
  }
}

function withResolvers() {
  const parts = {};
  parts.promise = new Promise((resolve) => (parts.resolve = resolve));
  return parts;
}

function parseFrames(data) {
  const frames = [];
  for (let at = 0; at < data.length; ) {
    const length = data.readUInt32BE(at + 4);
    const text = data.toString("utf8", at + 16, at + 16 + length);
    frames.push({ kind: data.readUInt32BE(at), micros: data.readBigUInt64BE(at + 8), text });
    at += 16 + length;
  }
  return frames;
}

/** The decoded answers of a run in which every invocation succeeded. */
async function results(source, options) {
  const run = await runClient(source, options);
  assert.deepEqual(run.posts.map((post) => post.path), run.posts.map((_, i) => responsePath(i)), run.stdout + run.stderr);
  return run.posts.map((post) => JSON.parse(post.body));
}

async function initFailure(source, { code = 129, what = "Uncaught Exception", ...options } = {}) {
  const run = await runClient(source, options);
  assert.deepEqual(run.posts.map((post) => post.path), [INIT_ERROR], run.stdout + run.stderr);
  const document = JSON.parse(run.posts[0].body);
  assert.deepEqual(Object.keys(document), ["errorType", "errorMessage", "trace"]);
  assert.equal(run.posts[0].headers["lambda-runtime-function-error-type"], document.errorType);
  assert.equal(run.code, code);
  assert.match(run.stdout, new RegExp(`\tERROR\t${what} \t\\{"errorType":"${document.errorType}"`));
  return document;
}

// ---- answers

test("an event is answered with the result as JSON", async () => {
  const run = await runClient(ECHO, { events: [{ a: [1, null, "é"] }] });
  assert.equal(run.posts[0].path, responsePath(0));
  assert.equal(run.posts[0].body, '{"a":[1,null,"é"]}');
  assert.equal(run.posts[0].headers["content-type"], "application/json");
});

test("one process and one connection serve many events", async () => {
  const source = "let count = 0; exports.handler = async (e, context) => [++count, context.awsRequestId];";
  const run = await runClient(source, { events: [1, 2, 3] });
  assert.deepEqual(run.posts.map((p) => JSON.parse(p.body)), [0, 1, 2].map((n) => [n + 1, requestId(n)]));
  assert.equal(run.connections, 1);
});

test("a dropped idle connection is opened again", async () => {
  assert.deepEqual(await results(ECHO, { events: [1, 2, 3], dropIdle: true }), [1, 2, 3]);
});

test("large events and results arrive whole", async () => {
  const text = "é".repeat(2_500_000);
  assert.ok((await results(ECHO, { events: [JSON.stringify(text)] }))[0] === text);
});

test("a chunked event is put together", async () => {
  const text = "0123456789".repeat(1000);
  assert.deepEqual(await results(ECHO, { events: [{ text }], chunked: true }), [{ text }]);
});

test("the invocation id is echoed", async () => {
  const run = await runClient(ECHO, { events: [[{}, { "Lambda-Runtime-Invocation-Id": "attempt-7" }]] });
  assert.equal(run.posts[0].headers["lambda-runtime-invocation-id"], "attempt-7");
});

test("undefined and functions are answered as null", async () => {
  assert.deepEqual(await results("exports.handler = async (e) => (e ? () => 1 : undefined);", { events: [0, 1] }), [null, null]);
});

// ---- handler forms

test("every handler form is found", async () => {
  const cases = [
    ["src/app.handler", { "src/app.js": ECHO }],
    ["index.a.b", { "index.js": "exports.a = { b: async (event) => event };" }],
    ["index.handler", { "index.mjs": "await Promise.resolve(); export const handler = async (event) => event;" }],
    ["index.handler", { "index.js": "export const handler = async (e) => e;", "package.json": '{"type":"module"}' }],
    ["index.handler", { "index.cjs": ECHO }],
    ["helper.handler", { "node_modules/helper/index.js": ECHO }],
    ["lib.handler", { "lib/index.js": ECHO }],
  ];
  for (const [handler, files] of cases) assert.deepEqual(await results(null, { handler, files, events: [7] }), [7], handler);
});

test("the client of 24 finds CommonJS, ES modules and default exports", async () => {
  const cases = [
    { "index.js": ECHO },
    { "index.mjs": "export const handler = async (event) => event;" },
    { "index.mjs": "export default { handler: (event) => event };" },
  ];
  for (const files of cases) assert.deepEqual(await results(null, { files, events: [7], runtime: 24 }), [7]);
});

// ---- callbacks

test("the callback answers once the event loop is empty", async () => {
  const source = `exports.handler = (event, context, callback) => {
    callback(null, "early");
    setTimeout(() => console.log("later work is done"), 50);
  };`;
  const run = await runClient(source);
  assert.equal(run.posts[0].body, '"early"');
  assert.match(run.stdout, /later work is done/);
});

test("without callbackWaitsForEmptyEventLoop the callback answers at once", async () => {
  const source = `exports.handler = (event, context, callback) => {
    context.callbackWaitsForEmptyEventLoop = false;
    setInterval(() => {}, 1000);
    callback(null, event);
  };`;
  assert.deepEqual(await results(source, { events: [1, 2] }), [1, 2]);
});

test("only the first callback counts", async () => {
  const source = "exports.handler = (e, context, callback) => { callback(null, 1); callback(new Error('2')); context.succeed(3); };";
  assert.deepEqual(await results(source, { events: [1, 2] }), [1, 1]);
});

test("a handler that never answers is answered with null when the event loop is empty", async () => {
  assert.deepEqual(await results("exports.handler = (event, context, callback) => {};", { events: [1, 2] }), [null, null]);
  assert.deepEqual(await results("exports.handler = () => new Promise(() => {});", { events: [1, 2] }), [null, null]);
});

test("context.succeed, done and fail answer", async () => {
  assert.deepEqual(await results("exports.handler = (e, context) => context.succeed('s');"), ["s"]);
  assert.deepEqual(await results("exports.handler = (e, context) => context.done(null, 'd');"), ["d"]);
  const run = await runClient("exports.handler = (e, context) => context.fail('because');");
  assert.equal(run.posts[0].path, errorPath(0));
  assert.deepEqual(JSON.parse(run.posts[0].body), { errorType: "string", errorMessage: "because", trace: [] });
});

test("24 refuses callback handlers and has no callback members", async () => {
  const source = "exports.handler = (event, context, callback) => callback(null, 1);";
  const document = await initFailure(source, { runtime: 24, code: 1, what: "Init Error" });
  assert.equal(document.errorType, "Runtime.CallbackHandlerDeprecated");
  assert.match(document.errorMessage, /^ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24\./);
  const probe = "exports.handler = (event, context) => ['done', 'succeed', 'fail', 'callbackWaitsForEmptyEventLoop'].filter((n) => n in context);";
  assert.deepEqual(await results(probe, { runtime: 24 }), [[]]);
});

// ---- context

test("the context has every member", async () => {
  const source = `exports.handler = async (event, context) => {
    const left = context.getRemainingTimeInMillis();
    return { ...context, left: left > 20000 && left <= 30000, trace: process.env._X_AMZN_TRACE_ID };
  };`;
  const headers = {
    "Lambda-Runtime-Client-Context": '{"custom":{"k":"v"}}',
    "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i"}',
    "Lambda-Runtime-Trace-Id": "Root=1-2-3",
    "Lambda-Runtime-Aws-Tenant-Id": "blue",
  };
  const common = {
    functionVersion: "$LATEST", functionName: "demo", memoryLimitInMB: "128", logGroupName: "/aws/lambda/demo",
    logStreamName: "2024/05/01/[$LATEST]0123", invokedFunctionArn: ARN, left: true,
  };
  assert.deepEqual(await results(source, { events: [[{}, headers], {}] }), [
    {
      callbackWaitsForEmptyEventLoop: true, ...common, awsRequestId: requestId(0), clientContext: { custom: { k: "v" } },
      identity: { cognitoIdentityId: "i" }, tenantId: "blue", trace: "Root=1-2-3",
    },
    { callbackWaitsForEmptyEventLoop: true, ...common, awsRequestId: requestId(1) },
  ]);
});

// ---- failures at init

test("a missing module is an ImportModuleError", async () => {
  const document = await initFailure(ECHO, { handler: "absent.handler" });
  assert.equal(document.errorType, "Runtime.ImportModuleError");
  assert.match(document.errorMessage, /^Error: Cannot find module 'absent'\nRequire stack:/);
  assert.match(document.trace[0], /^Runtime\.ImportModuleError: Error: Cannot find module 'absent'/);
  assert.equal((await initFailure("require('nowhere');")).errorType, "Runtime.ImportModuleError");
});

test("a missing member is HandlerNotFound", async () => {
  const document = await initFailure(ECHO, { handler: "index.absent" });
  assert.equal(document.errorType, "Runtime.HandlerNotFound");
  assert.equal(document.errorMessage, "index.absent is undefined or not exported");
  const value = await initFailure("exports.handler = 5;");
  assert.equal(value.errorMessage, "index.handler is not a function");
});

test("malformed handler names are refused", async () => {
  const document = await initFailure(ECHO, { handler: "index" });
  assert.deepEqual([document.errorType, document.errorMessage], ["Runtime.MalformedHandlerName", "Bad handler"]);
  const relative = await initFailure(ECHO, { handler: "../index.handler" });
  assert.match(relative.errorMessage, /^'..\/index.handler' is not a valid handler name\. Use absolute paths/);
});

test("broken syntax is a UserCodeSyntaxError", async () => {
  for (const files of [{ "index.js": "const = 1;" }, { "index.mjs": "const = 1;" }]) {
    const document = await initFailure(null, { files });
    assert.equal(document.errorType, "Runtime.UserCodeSyntaxError");
    assert.match(document.errorMessage, /^SyntaxError: Unexpected token '='/);
  }
});

test("an error thrown while loading is told as it is", async () => {
  const document = await initFailure("throw new TypeError('early');");
  assert.deepEqual([document.errorType, document.errorMessage], ["TypeError", "early"]);
  const modern = await initFailure("throw new TypeError('early');", { runtime: 24, code: 1, what: "Init Error" });
  assert.equal(modern.errorType, "TypeError");
});

test("response streaming is refused at init, by name", async () => {
  const document = await initFailure("exports.handler = awslambda.streamifyResponse(async () => {});");
  assert.equal(document.errorType, "Runtime.ResponseStreamingNotBuilt");
  assert.match(document.errorMessage, /not built yet/);
});

// ---- failures of invocations

test("a rejection is told with its trace and the client goes on", async () => {
  const source = "exports.handler = async (event) => { if (event) throw new RangeError('bad\\nthing'); };";
  const run = await runClient(source, { events: [1, 0] });
  assert.deepEqual(run.posts.map((p) => p.path), [errorPath(0), responsePath(1)]);
  const document = JSON.parse(run.posts[0].body);
  assert.deepEqual(Object.keys(document), ["errorType", "errorMessage", "trace"]);
  assert.deepEqual([document.errorType, document.errorMessage], ["RangeError", "bad\nthing"]);
  assert.deepEqual(document.trace.slice(0, 2), ["RangeError: bad", "thing"]);
  assert.match(document.trace[2], /^ {4}at .*index\.js:1:/);
  const cause = JSON.parse(run.posts[0].headers["lambda-runtime-function-xray-error-cause"]);
  assert.equal(cause.exceptions[0].type, "RangeError");
  assert.match(run.stdout, new RegExp(`^${STAMP}\t${requestId(0)}\tERROR\tInvoke Error \t\\{"errorType":"RangeError","errorMessage":"bad\\\\nthing","stack":\\[`));
});

test("a throw before the first await, in a callback handler and in 24 are told alike", async () => {
  for (const [source, runtime] of [
    ["exports.handler = () => { throw new Error('x'); };", 20],
    ["exports.handler = (e, c, callback) => callback(new Error('x'));", 20],
    ["exports.handler = () => { throw new Error('x'); };", 24],
  ]) {
    const run = await runClient(source, { runtime });
    assert.deepEqual(run.posts.map((p) => p.path), [errorPath(0)]);
    assert.equal(JSON.parse(run.posts[0].body).errorMessage, "x");
  }
});

test("a rejection with something that is no error is told by its type", async () => {
  const run = await runClient("exports.handler = async () => { throw 'just text'; };");
  assert.deepEqual(JSON.parse(run.posts[0].body), { errorType: "string", errorMessage: "just text", trace: [] });
});

test("an unhandled rejection ends the process and the invocation", async () => {
  const source = "exports.handler = () => { Promise.reject(new Error('lost')); return new Promise((r) => setTimeout(r, 60000)); };";
  const run = await runClient(source);
  const document = JSON.parse(run.posts[0].body);
  assert.equal(run.posts[0].path, errorPath(0));
  assert.deepEqual([document.errorType, document.errorMessage], ["Runtime.UnhandledPromiseRejection", "Error: lost"]);
  assert.equal(run.code, 128);
  assert.match(run.stdout, /\tERROR\tUnhandled Promise Rejection \t\{/);
});

test("an uncaught exception ends the process and the invocation", async () => {
  const source = "exports.handler = () => new Promise(() => setTimeout(() => { throw new Error('thrown'); }, 1));";
  const run = await runClient(source);
  assert.equal(run.posts[0].path, errorPath(0));
  assert.equal(JSON.parse(run.posts[0].body).errorMessage, "thrown");
  assert.equal(run.code, 129);
  assert.match(run.stdout, /\tERROR\tUncaught Exception \t\{/);
});

test("24 ends by itself on an uncaught exception", async () => {
  const source = "exports.handler = () => new Promise(() => setTimeout(() => { throw new Error('thrown'); }, 1));";
  const run = await runClient(source, { runtime: 24 });
  assert.deepEqual([run.code, run.posts], [1, []]);
  assert.match(run.stderr, /Error: thrown/);
});

test("process.exit ends the process without an answer", async () => {
  for (const code of [0, 3]) {
    const run = await runClient(`exports.handler = async () => process.exit(${code});`);
    assert.deepEqual([run.code, run.posts], [code, []]);
  }
});

test("a result that cannot be serialised is a failure", async () => {
  const source = "exports.handler = async () => { const o = {}; o.o = o; return o; };";
  for (const [runtime, errorType] of [[20, "Error"], [24, "Runtime.JSONStringifyError"]]) {
    const run = await runClient(source, { runtime });
    assert.deepEqual(run.posts.map((p) => p.path), [errorPath(0)]);
    const document = JSON.parse(run.posts[0].body);
    assert.deepEqual([document.errorType, document.errorMessage], [errorType, "Unable to stringify response body"]);
  }
});

test("an event that is not JSON fails the invocation", async () => {
  const run = await runClient(ECHO, { events: ["{"] });
  assert.equal(JSON.parse(run.posts[0].body).errorType, "SyntaxError");
});

test("an answer refused as too large leaves the process usable, any other refusal ends it", async () => {
  const large = await runClient(ECHO, { events: [1, 2], answers: [413] });
  assert.equal(large.posts.length, 2);
  assert.match(large.stderr, /Failed to post handler success response\. Http response code: 413\./);
  const refused = await runClient(ECHO, { events: [1, 2], answers: [403] });
  assert.deepEqual([refused.code, refused.posts.length], [1, 1]);
});

// ---- logs

const LOGGING = `console.log("at init");
exports.handler = async () => {
  console.log("two\\nlines %d", 5, { a: 1 });
  console.debug("d");
  console.warn("w");
  console.error(new TypeError("oh"));
  process.stdout.write("raw\\n");
};`;

test("text logs carry time, request id and level, a record on one line", async () => {
  const run = await runClient(LOGGING);
  const lines = run.stdout.split("\n");
  const record = (id, rest) => new RegExp(`^${STAMP}\t${id}\t${rest}`);
  assert.match(lines[0], record("undefined", "INFO\tat init$"));
  assert.match(lines[1], record(requestId(0), "INFO\ttwo\rlines 5 \\{ a: 1 \\}$"));
  assert.match(lines[2], record(requestId(0), "DEBUG\td$"));
  assert.match(lines[3], record(requestId(0), "WARN\tw$"));
  assert.match(lines[4], record(requestId(0), "ERROR\tTypeError: oh\r    at "));
  assert.deepEqual(lines.slice(5), ["raw", ""]);
});

test("framed logs keep a record whole", async () => {
  const run = await runClient(LOGGING, { framed: true });
  assert.deepEqual(run.frames.map((f) => f.kind), [0xa55a000f, 0xa55a000f, 0xa55a000b, 0xa55a0013, 0xa55a0017]);
  assert.match(run.frames[1].text, /\tINFO\ttwo\nlines 5 \{ a: 1 \}\n$/);
  assert.ok(Math.abs(Number(run.frames[1].micros / 1000n) - Date.now()) < 60_000);
  assert.equal(run.stdout, "raw\n");
});

test("JSON logs are objects filtered by level", async () => {
  const environ = { AWS_LAMBDA_LOG_FORMAT: "JSON", AWS_LAMBDA_LOG_LEVEL: "INFO" };
  const run = await runClient(LOGGING, { environ });
  const lines = run.stdout.trimEnd().split("\n").slice(0, -1).map((line) => JSON.parse(line));
  const stack = lines[3].message.stackTrace;
  assert.deepEqual(lines.map(({ timestamp, ...rest }) => rest), [
    { level: "INFO", message: "at init" },
    { level: "INFO", requestId: requestId(0), message: "two\nlines 5 { a: 1 }" },
    { level: "WARN", requestId: requestId(0), message: "w" },
    { level: "ERROR", requestId: requestId(0), message: { errorType: "TypeError", errorMessage: "oh", stackTrace: stack } },
  ]);
  assert.equal(stack[0], "TypeError: oh");
  const framed = await runClient(LOGGING, { environ, framed: true });
  assert.deepEqual(framed.frames.map((f) => f.kind), [0xa55a000e, 0xa55a000e, 0xa55a0012, 0xa55a0016]);
});
