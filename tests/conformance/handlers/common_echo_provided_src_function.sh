# Gives the event back.
handler() {
    cat
}
