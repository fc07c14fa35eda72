// Counts the invocations of its environment, from 0.
let counter = 0;
exports.handler = async () => ({ counter: counter++ });
