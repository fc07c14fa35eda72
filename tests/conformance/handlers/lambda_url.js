// Gives the event of its URL back.
exports.handler = async (event) => event;
