# Completion of NAME for fish. To load it: NAME completion fish | source

function __NAME_complete
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l program NAME
    string match -q '*/NAME' -- $typed[1]; and set program $typed[1]
    set -l directive 4
    for line in ($program __complete $typed[2..-1] "$current" 2>/dev/null)
        if string match -qr '^:[0-9]+$' -- $line
            set directive (string sub -s 2 -- $line)
        else
            echo $line
        end
    end
    if test (math "floor($directive / 4) % 2") -eq 0
        if test (math "floor($directive / 16) % 2") -eq 1
            __fish_complete_directories "$current"
        else
            # The value of --option=value is what stands behind the sign.
            set -l option (string match -r -- '^--[^=]*=' "$current")
            for file in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' "$current"))
                echo "$option$file"
            end
        end
    end
end

complete -c NAME -e
complete -c NAME -f -a '(__NAME_complete)'
