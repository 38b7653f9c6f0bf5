# Completion of NAME for bash 4 and later. To load it: source <(NAME completion bash)

__gantry_complete() {
    # Words as they are typed: bash breaks them at = and : as well.
    local rest=${COMP_LINE:0:COMP_POINT} bare word i words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        bare=${rest#"${rest%%[![:space:]]*}"}
        word=${COMP_WORDS[i]}
        ((i == COMP_CWORD)) && word=$bare
        if ((i > 0)) && [[ $bare == "$rest" ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
        rest=${bare#"$word"}
    done

    # An alias leads to the program, and a path is the program.
    local program=NAME
    [[ ${COMP_WORDS[0]} == */NAME ]] && program=${COMP_WORDS[0]/#\~/$HOME}
    local current=${words[${#words[@]} - 1]} line directive=4 candidates=()
    while IFS= read -r line; do
        case $line in
            :[0-9]*) directive=${line#:} ;;
            *) candidates+=("$line") ;;
        esac
    done < <("$program" __complete "${words[@]:1}" 2>/dev/null)

    # Only what stands behind the last break is replaced.
    local break prefix=
    for break in '=' ':'; do
        if [[ $COMP_WORDBREAKS == *"$break"* && $current == *"$break"* ]]; then
            word=${current%"$break"*}$break
            ((${#word} > ${#prefix})) && prefix=$word
        fi
    done
    COMPREPLY=()
    for line in "${candidates[@]}"; do
        word=${line%%$'\t'*}
        COMPREPLY+=("${word#"$prefix"}")
    done
    # What a word means is shown where there is a choice, and nothing is put into the line by it.
    if ((${#COMPREPLY[@]} > 1)) && [[ ${COMP_TYPE:-0} == 63 && ${candidates[0]} == *$'\t'* ]]; then
        local width=0
        for word in "${COMPREPLY[@]}"; do ((${#word} > width)) && width=${#word}; done
        for i in "${!candidates[@]}"; do
            line=${candidates[i]}
            [[ $line == *$'\t'* ]] && printf -v "COMPREPLY[i]" '%-*s  (%s)' "$width" "${COMPREPLY[i]}" "${line#*$'\t'}"
        done
    fi
    ((directive & 2)) && compopt -o nospace 2>/dev/null
    if ! ((directive & 4)); then
        compopt -o filenames 2>/dev/null
        local kind=-f
        ((directive & 16)) && kind=-d
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen "$kind" -- "${current#"$prefix"}")
    fi
    return 0
}

complete -F __gantry_complete NAME
