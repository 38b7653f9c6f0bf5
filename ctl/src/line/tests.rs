//! Lines and what is made of them.

use super::*;

fn program() -> clap::Command {
    let program = Command::augment_subcommands(clap::Command::new("gantry"));
    let level = Arg::new("level").long("log-level").global(true);
    program.arg(level).subcommand(clap::Command::new("up").arg(Arg::new("name").short('n').action(ArgAction::SetTrue)))
}

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect()
}

fn arranged(line: &str) -> Result<String, Mistake> {
    let mut program = lenient(program());
    program.build();
    let words = arrange(&program, words(&format!("gantry {line}")))?;
    let words: Vec<&str> = words.iter().skip(1).map(|word| word.to_str().unwrap()).collect();
    Ok(words.join(" "))
}

#[test]
fn options_stand_anywhere() {
    let check = |line: &str, expected: &str| assert_eq!(arranged(line).unwrap(), expected, "{line}");
    check("get pods", "get pods");
    check("-n x get pods", "get -n=x pods");
    check("--namespace x get pods a", "get --namespace=x pods a");
    check("-nx get pods -owide", "get -n=x -o=wide pods");
    check("-n=x get pods", "get -n=x pods");
    check("-o wide get pods", "get -o=wide pods");
    check("-n x rollout status d", "rollout status -n=x d");
    check("rollout -n x status d", "rollout status -n=x d");
    check("rollout status d -n x", "rollout status -n=x d");
    check("--warnings-as-errors get pods", "get --warnings-as-errors pods");
    check("--user u get pods", "get --user=u pods");
    check("get pods -Aw", "get -A -w pods");
    check("logs p --tail -1 -f", "logs --tail=-1 -f p");
    check("exec p -c c -- ls -la -n", "exec -c=c p -- ls -la -n");
    check("apply -f - view-last-applied", "apply view-last-applied -f=-");
}

#[test]
fn switches_have_values() {
    let check = |line: &str, expected: &str| assert_eq!(arranged(line).unwrap(), expected, "{line}");
    check("get pods --watch=false", "get pods");
    check("get pods -w=F --show-labels=true", "get --show-labels pods");
    check("delete pod a --wait=0", "delete --wait=false pod a");
    check("--insecure-skip-tls-verify=T get pods", "get --insecure-skip-tls-verify=true pods");
}

#[test]
fn what_makes_no_sense_is_said_in_kubectls_words() {
    let check = |line: &str, expected: &str| match read(program(), words(&format!("gantry {line}"))) {
        Err(Mistake::Said(said)) => assert_eq!(said, expected, "{line}"),
        other => panic!("{line}: {other:?}"),
    };
    let of_get = |what: &str| format!("error: {what}\nSee 'gantry get --help' for usage.");
    check("get pods --nothing", &of_get("unknown flag: --nothing"));
    check("get pods --otput yaml", &of_get("unknown flag: --otput; did you mean \"--output\"?"));
    check("get pods -Az", &of_get("unknown shorthand flag: 'z' in -z"));
    check("get pods -n", &of_get("flag needs an argument: 'n' in -n"));
    check("get pods --output", &of_get("flag needs an argument: --output"));
    check(
        "get pods -w=maybe",
        &of_get(
            "invalid argument \"maybe\" for \"-w, --watch\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
    );
    check(
        "get pods --chunk-size=many",
        &of_get(
            "invalid argument \"many\" for \"--chunk-size\" flag: strconv.ParseInt: parsing \"many\": invalid syntax",
        ),
    );
    check("-n", "error: flag needs an argument: 'n' in -n\nSee 'gantry --help' for usage.");
    check("-n x qqqqqq", "error: unknown command \"qqqqqq\" for \"gantry\"");
    check(
        "create -f a --dry-run=what",
        "error: Invalid dry-run value (what). Must be \"none\", \"server\", or \"client\".",
    );
    check("create deployment d", "error: required flag(s) \"image\" not set");
    check("qqqqqq", "error: unknown command \"qqqqqq\" for \"gantry\"");
}

#[test]
fn what_is_given_twice_counts_as_it_was_given_last() {
    let read = |line: &str| read(program(), words(&format!("gantry {line}"))).unwrap();
    let matches = read("get pods -o wide -o yaml -w -w");
    let get = matches.subcommand_matches("get").unwrap();
    assert_eq!(get.get_one::<String>("output").map(String::as_str), Some("yaml"));
}

#[test]
fn only_verbs_have_them() {
    let check = |line: &str| assert_eq!(arranged(line).unwrap(), line);
    check("up -n x");
    check("-n x up");
    check("--log-level debug up");
    check("nothing --a b");
    check("--help");
}
