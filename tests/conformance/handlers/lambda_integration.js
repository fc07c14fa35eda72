// Gives its context back.
exports.handler = async (event, context) => ({ context });
