#!/bin/sh
# Deletes all archives of backup_directory but the newest, after asking.
#
#   prune_backups.sh --keep NUMBER
#
# Environment: BACKUP_DIR, the folder with the archives (default as that of
# backup_directory.py). TASKFERRY_ANSWERS, set by the worker: the answers that
# there are, a JSON object by key. Standard input is not read.
#
# While the answer is missing this script asks and exits with 76: the worker
# parks the job, and runs the script again when the answer is there.
#
# The key of the question stands for these very archives. If others are old by
# the time of the answer, or a first attempt was killed half-way, that is a new
# question. So nothing is deleted that nobody was asked about.

set -u
LC_ALL=C
export LC_ALL

EXIT_ERROR=1
EXIT_ASKED=76

# The text of an error goes to standard output: the caller sees that.
fail() {
    printf '%s\n' "$1"
    exit "$EXIT_ERROR"
}

read_options() {
    [ $# -eq 2 ] && [ "$1" = --keep ] || fail 'options: --keep NUMBER'
    case $2 in
        [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) keep=$2 ;;
        *) fail 'option --keep must be a whole number from 1 to 999' ;;
    esac
}

# The answer to the question with this key: what follows the key, up to the next.
answer_to() {
    all=${TASKFERRY_ANSWERS:-}
    answer=${all#*"\"$1\":"}
    [ "$answer" != "$all" ] || answer=
    answer=${answer%%',"delete-'*}
}

read_options "$@"
folder=${BACKUP_DIR:-${TMPDIR:-/tmp}/taskferry-backups-$(id -u)}
old=
if [ -d "$folder" ]; then
    cd -- "$folder" || fail 'the folder with the archives cannot be entered'
    # A worker names archives by their tasks: letters, digits, dots and hyphens.
    old=$(ls -1t -- *.tar.gz 2>/dev/null | grep -v '[^A-Za-z0-9._-]' | tail -n "+$((keep + 1))")
fi
if [ -z "$old" ]; then
    printf 'There is nothing to delete.\n'
    exit 0
fi

count=$(printf '%s\n' "$old" | wc -l | tr -d ' ')
key=delete-$(printf '%s\n' "$old" | cksum | cut -d ' ' -f 1)
answer_to "$key"
case $answer in
    '')
        text="Delete $count archives of backups and keep the newest $keep?"
        printf '::ask %s elicitation {"message":"%s","requestedSchema":{"type":"object","properties":{}}}\n' \
            "$key" "$text" >&2
        exit "$EXIT_ASKED"
        ;;
    '{"result":'*'"action":"accept"'*) ;;
    '{"result":'*) fail 'Nothing was deleted: that was not wanted.' ;;
    *) fail 'Nothing was deleted: the question has no answer.' ;;
esac

printf '%s\n' "$old" | while IFS= read -r name; do
    rm -f -- "$name" || exit
done || fail 'not every archive could be deleted'
printf 'Deleted %s archives; the newest %s are kept.\n' "$count" "$keep"
