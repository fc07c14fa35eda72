# The handler: reads the event from standard input, writes the answer to standard output; its log is standard error.

greet() {
    event=$(cat)
    echo "an event of ${#event} characters" >&2
    name=$(printf '%s' "$event" | sed -n 's/.*"name": *"\([^"\\]*\)".*/\1/p')
    [ -n "$name" ] || return 1
    printf '{"message":"Hello, %s, from a shell."}' "$name"
}
