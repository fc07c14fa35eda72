exports.handler = async (event, context) => {
  console.log(`request ${context.awsRequestId} of ${context.functionName}, version ${context.functionVersion}`);
  return { statusCode: 200, headers: { "content-type": "application/json" }, body: JSON.stringify(event) };
};
