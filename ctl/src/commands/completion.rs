//! `gantry completion`: scripts by which shells ask this program what can stand where a line is typed.

use clap::{Args, ValueEnum};

use crate::{Error, Session};

const BASH: &str = include_str!("../completion/gantry.bash");
const FISH: &str = include_str!("../completion/gantry.fish");
const POWERSHELL: &str = include_str!("../completion/gantry.ps1");
const ZSH: &str = include_str!("../completion/gantry.zsh");

/// What scripts are written for.
const PROGRAM: &str = "gantry";

/// The arguments.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
To load it in every new shell:
  bash        echo 'source <(gantry completion bash)' >> ~/.bashrc
  zsh         echo 'source <(gantry completion zsh)' >> ~/.zshrc, behind compinit
  fish        gantry completion fish > ~/.config/fish/completions/gantry.fish
  powershell  gantry completion powershell >> $PROFILE
Those for bash, zsh and fish have been tried there. The one for powershell follows its documentation, and has not been tried.

To have it for an alias, such as alias kubectl=gantry, as well:
  bash        complete -F __gantry_complete kubectl
  zsh         compdef _gantry kubectl
  fish        complete -c kubectl -w gantry")]
pub struct Arguments {
    /// For which shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Powershell,
    Zsh,
}

/// Shows the script.
pub(crate) fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let script = match arguments.shell {
        Shell::Bash => BASH,
        Shell::Fish => FISH,
        Shell::Powershell => POWERSHELL,
        Shell::Zsh => ZSH,
    };
    session.write(&script.replace("NAME", PROGRAM))
}
