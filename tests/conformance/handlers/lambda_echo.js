// Logs the event and gives it back.
exports.handler = async (event) => {
  console.log(event);
  return event;
};
