# Completion of berthd for fish: commands and options as the program tells of them.
function __berthd_commands
    berthd help 2>/dev/null | string replace -rf '^  berthd ([a-z-]+)(?:.*   | )(.*)' '$1\t$2'
end
function __berthd_options
    berthd help options 2>/dev/null | string replace -rf '^([a-z][a-z._]*) = (.*)' -- '--$1=\tpreset: $2'
end
complete -c berthd -f
complete -c berthd -n __fish_use_subcommand -a '(__berthd_commands)'
complete -c berthd -n 'not __fish_use_subcommand' -l json -d 'print for programs'
complete -c berthd -n 'not __fish_use_subcommand' -l config -r -F -d 'file of options'
complete -c berthd -n 'not __fish_use_subcommand; and string match -q -- "--*" (commandline -ct)' -a '(__berthd_options)'
complete -c berthd -n '__fish_seen_subcommand_from backup restore import' -F
