#compdef NAME
# Completion of NAME for zsh. To load it: source <(NAME completion zsh), after compinit; or put it as _NAME into a directory
# of $fpath.

_NAME() {
    local program=NAME line directive=4 prefix=
    [[ ${words[1]} == */NAME ]] && program=${~words[1]}
    local -a typed candidates
    typed=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
    while IFS= read -r line; do
        case $line in
            :[0-9]*) directive=${line#:} ;;
            *)
                # A colon separates a word from what it means here.
                local word=${line%%$'\t'*}
                local meaning=
                [[ $line == *$'\t'* ]] && meaning=:${line#*$'\t'}
                candidates+=("${word//:/\\:}$meaning")
                ;;
        esac
    done < <("$program" __complete "${typed[@]}" 2>/dev/null)

    local -a space
    ((directive & 2)) && space=(-S '')
    ((${#candidates})) && _describe -V NAME candidates "${space[@]}"
    if ! ((directive & 4)); then
        # The value of --option=value is what stands behind the sign.
        [[ $PREFIX == --*=* ]] && compset -P '*='
        if ((directive & 16)); then _files -/; else _files; fi
    fi
}

compdef _NAME NAME
# Loaded by its name from $fpath, it is asked at once.
[[ ${funcstack[1]} == _NAME ]] && _NAME
