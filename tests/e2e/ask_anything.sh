# Logs a line, asks what it is told to ask, and prints the answer.
read -r _arguments
echo '::log info before the question' >&2
printf '::ask it %s %s\n' "$1" "$2" >&2
read -r answer
printf '%s' "$answer"
