# Completion of berth for fish: commands and options as the program tells of them.
function __berth_commands
    berth help 2>/dev/null | string replace -rf '^  ([a-z][a-z-]*)  +(.*)' '$1\t$2'
end
function __berth_options
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        string match -q -- '-*' $word; and continue
        berth help $word 2>/dev/null | string replace -rf '^  (?:-., |    )(--[a-z-]+).{0,27}? +(.*)' '$1\t$2'
        return
    end
end
complete -c berth -f
complete -c berth -n __fish_use_subcommand -a '(__berth_commands)'
complete -c berth -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct)' -a '(__berth_options)'
complete -c berth -n '__fish_seen_subcommand_from start stop restart kill rm logs exec attach wait inspect top stats diff cp commit port generate-systemd' -a '(berth ps --all -q 2>/dev/null)'
complete -c berth -n '__fish_seen_subcommand_from load import unpack' -F
