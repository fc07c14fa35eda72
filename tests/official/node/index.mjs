// The function of test_official_clients.py on `aws-lambda-ric`.

import { randomUUID } from "node:crypto";

if (process.env.START === "raise") throw new RangeError("too early");
if (process.env.START === "exit") process.exit(7);

const instance = randomUUID();
let count = 0;

class Boom extends Error {
  constructor(message) {
    super(message);
    this.name = "Boom";
  }
}

function contextOf(context) {
  const client = context.clientContext;
  return {
    request_id: context.awsRequestId,
    arn: context.invokedFunctionArn,
    left_ms: context.getRemainingTimeInMillis(),
    name: context.functionName,
    version: context.functionVersion,
    memory: Number(context.memoryLimitInMB),
    group: context.logGroupName,
    stream: context.logStreamName,
    trace: process.env._X_AMZN_TRACE_ID,
    client: client
      ? { custom: client.custom, env: client.env, installation: client.client.installation_id }
      : null,
    identity: context.identity?.cognitoIdentityId ?? null,
  };
}

export const handler = async (event, context) => {
  count += 1;
  const { do: what, value } = event;
  switch (what) {
    case "context":
      return contextOf(context);
    case "print":
      console.log(`printed ${value}`);
      console.warn(`logged ${value}`);
      return value;
    case "fail":
      throw new Boom(value);
    case "count":
      return { instance, count };
    case "sleep":
      await new Promise((wake) => setTimeout(wake, value * 1000));
      return value;
    case "exit":
      return process.exit(value);
    case "large":
      return "x".repeat(value);
    case "unserialisable":
      return { big: 1n };
    case "length":
      return value.length;
    default:
      return value;
  }
};
