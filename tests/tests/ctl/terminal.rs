//! What is different on a terminal: editors that have it, questions, progress that is written in one place, and no escape
//! sequences where nobody looks, or where somebody wants none. The real binary runs on a terminal that `script` makes.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use tests::kubectl::{Kubectl, stable};
use tests::server::Backing;

const SETTINGS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue}
";

/// Somebody with a terminal, and the commands that follow each other on it.
struct Terminal<'a> {
    kubectl: &'a Kubectl,
    variables: Vec<(&'a str, &'a str)>,
}

/// What is typed, or done, once something has been said.
enum Then<'a> {
    Types(&'a str),
    Does(&'a str),
}

impl<'a> Terminal<'a> {
    fn of(kubectl: &'a Kubectl, variables: &[(&'a str, &'a str)]) -> Terminal<'a> {
        Terminal { kubectl, variables: variables.to_vec() }
    }

    /// A command in the surroundings of kubectl: a home, a directory and a kubeconfig.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let model = self.kubectl.command("version");
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(self.kubectl.directory());
        command.envs(model.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.envs(self.variables.iter().copied());
        command
    }

    /// Runs it on a terminal, and returns what was seen there with the exit code. What comes next is done when what stands
    /// before it was seen.
    fn run(&self, line: &str, next: &[(&str, Then<'_>)]) -> String {
        let line = format!("{}; echo code=$?", gantry(line));
        let mut script = self.command("script", &["-qec", &line, "/dev/null"]);
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script runs");
        // It is not closed before the end: that would be typed as ^D.
        let mut input = child.stdin.take().expect("it was piped");
        let mut output = child.stdout.take().expect("it was piped");
        let (mut said, mut next, mut buffer) = (String::new(), next.iter().peekable(), [0; 4096]);
        while let Ok(size) = output.read(&mut buffer)
            && size > 0
        {
            said.push_str(&String::from_utf8_lossy(&buffer[..size]));
            while let Some((_, then)) = next.next_if(|(when, _)| said.contains(when)) {
                match then {
                    Then::Types(keys) => input.write_all(keys.as_bytes()).expect("it is read"),
                    Then::Does(line) => {
                        let output = self.kubectl.output(line);
                        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
                    }
                }
            }
        }
        child.wait().expect("script ends");
        assert!(next.peek().is_none(), "not all was said: {said}");
        said.replace('\r', "")
    }

    /// Runs it where nobody looks.
    fn piped(&self, line: &str) -> String {
        let output = self.command("sh", &["-c", &gantry(line)]).stdin(Stdio::null()).output().expect("sh runs");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }
}

/// A line for a shell that runs the binary which was built with this program.
fn gantry(line: &str) -> String {
    let here = std::env::current_exe().expect("a program knows where it is");
    let program = here.ancestors().nth(2).expect("it is in a target directory").join("gantry");
    assert!(program.exists(), "{} is not there: run `cargo build -p gantry`", program.display());
    format!("{} {line}", program.display())
}

fn user() -> Kubectl {
    let kubectl = Kubectl::over(Backing::Embedded);
    kubectl.file("settings.yaml", SETTINGS);
    assert!(kubectl.output("apply -f settings.yaml").status.success());
    kubectl
}

/// An editor that does this with the file's name.
fn editor(kubectl: &Kubectl, script: &str) -> String {
    let path = kubectl.directory().join("editor");
    std::fs::write(&path, format!("{script}\n")).expect("a file can be written");
    format!("sh {}", path.display())
}

#[test]
fn editors_have_the_terminal() {
    let kubectl = user();
    let color =
        || String::from_utf8_lossy(&kubectl.output("get cm settings -o jsonpath={.data.color}").stdout).into_owned();
    // It reads a line that is typed, and writes it into the file.
    let asks = "test -t 0 && test -t 1 || exit 3\nprintf 'which color? '\nread color\nsed -i \"s/blue/$color/\" \"$1\"";
    let asks = editor(&kubectl, asks);
    let terminal = Terminal::of(&kubectl, &[("EDITOR", &asks)]);
    let said = terminal.run("edit cm settings", &[("which color?", Then::Types("green\n"))]);
    assert!(said.ends_with("configmap/settings edited\ncode=0\n"), "{said}");
    assert_eq!(color(), "green");
    // KUBE_EDITOR comes first.
    let nothing = Terminal::of(&kubectl, &[("EDITOR", &asks), ("KUBE_EDITOR", "true")]);
    assert_eq!(nothing.run("edit cm settings", &[]), "Edit cancelled, no changes made.\ncode=0\n");
    let name = editor(&kubectl, "sed -i 's/green/red/' \"$1\"");
    let name = Terminal::of(&kubectl, &[("EDITOR", &name)]);
    assert_eq!(name.run("edit cm settings -o name", &[]), "configmap/settings\ncode=0\n");
    assert_eq!(color(), "red");
    let fails = Terminal::of(&kubectl, &[("EDITOR", "false")]);
    let said = fails.run("edit cm settings", &[]);
    assert!(said.contains("error: ") && said.ends_with("code=1\n"), "{said}");
    assert_eq!(color(), "red");
}

#[test]
fn objects_are_edited_before_they_are_created_and_what_they_remember() {
    let kubectl = user();
    let paints = |from: &str, to: &str| editor(&kubectl, &format!("sed -i 's/{from}/{to}/' \"$1\""));
    let run = |editor: &str, line: &str| Terminal::of(&kubectl, &[("EDITOR", editor)]).run(line, &[]);
    let color = |what: &str| {
        let output = kubectl.output(&format!("{what} -o jsonpath={{.data.color}}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let copy = paints("name: settings", "name: copy");
    assert_eq!(run(&copy, "create --edit -f settings.yaml"), "configmap/copy created\ncode=0\n");
    assert_eq!(color("get cm copy"), "blue");
    let said = run(&copy, "create --edit -f settings.yaml");
    assert!(said.contains("A copy of your changes has been stored to") && said.contains("(AlreadyExists)"), "{said}");
    assert_eq!(run("true", "create --edit -f settings.yaml"), "Edit cancelled, no changes made.\ncode=0\n");
    let said = run("true", "create --edit -f settings.yaml -o name");
    assert!(said.starts_with("unable to match a printer") && said.ends_with("code=1\n"), "{said}");
    // What it remembers is another thing than what it is.
    let green = paints("blue", "green");
    assert_eq!(run(&green, "apply edit-last-applied cm settings"), "configmap/settings edited\ncode=0\n");
    assert_eq!(color("get cm settings"), "blue");
    let remembered = kubectl.output("apply view-last-applied cm settings");
    assert!(String::from_utf8_lossy(&remembered.stdout).contains("color: green"), "{remembered:?}");
    let said = run(&paints("green", "red"), "apply edit-last-applied cm settings -o yaml");
    assert!(said.contains("  color: red\n") && said.ends_with("code=0\n"), "{said}");
    let said = run("true", "apply edit-last-applied cm copy");
    assert!(said.contains("no last-applied-configuration annotation found on resources"), "{said}");
}

#[test]
fn what_was_refused_is_shown_above_the_text_where_it_stands() {
    let kubectl = user();
    // It keeps what it is given, and changes that only for the first time.
    let refused = |subject: &str, change: &str| {
        let script = format!(
            "n=$(ls | grep -c '^{subject}-')\ncp \"$1\" {subject}-$n\ntest $n = 1 || sed -i \"{change}\" \"$1\""
        );
        let said = Terminal::of(&kubectl, &[("EDITOR", &editor(&kubectl, &script))]).run("edit cm settings", &[]);
        let again = std::fs::read_to_string(kubectl.directory().join(format!("{subject}-1"))).unwrap_or_default();
        (said, again)
    };
    // Each is shown with the number that the line has in the file.
    let check = |again: &str, words: &str, line: &str| {
        let number = again.lines().position(|own| own == line).expect("it is as it was written") + 1;
        let words = words.replace("NUMBER", &number.to_string());
        assert!(again.contains(&words) && again.contains(&format!("#   {number} | {line}\n")), "{words}: {again}");
    };
    let given_up = "error: Edit cancelled, no valid changes were saved.\ncode=1\n";
    let invalid = "error: configmaps \"settings\" is invalid\n";
    let (said, again) = refused("syntax", "s/color: blue/color: @blue/");
    assert!(said.starts_with(invalid) && said.ends_with(given_up), "{said}");
    let words = "# configmaps \"settings\" was not valid:\n# * <nil>: Invalid value: \"The edited file failed \
                 validation\": line NUMBER, column ";
    check(&again, words, "  color: @blue");
    let (said, again) = refused("unknown", "s/^data:/datas:/");
    assert!(said.starts_with(invalid) && said.ends_with(given_up), "{said}");
    check(&again, "unknown field \"datas\"\n# this file:NUMBER:3: datas\n", "  color: blue");
    let (said, _) = refused("name", "s/name: settings/name: other/");
    assert!(said.starts_with("A copy of your changes has been stored to \""), "{said}");
    assert!(said.ends_with("error: At least one of apiVersion, kind and name was changed\ncode=1\n"), "{said}");
    // What cannot be created is shown in the file that is kept.
    let wrong = editor(&kubectl, "sed -i 's/^data:/datas:/; s/name: settings/name: wrong/' \"$1\"");
    let said = Terminal::of(&kubectl, &[("EDITOR", &wrong)]).run("create --edit -f settings.yaml", &[]);
    assert!(said.contains("gantry-edit-") && said.contains(".yaml:") && said.contains(" |   color: blue\n"), "{said}");
    assert!(said.contains("unknown field \"datas\"") && said.ends_with("code=1\n"), "{said}");
}

#[test]
fn programs_on_the_path_are_verbs() {
    let kubectl = user();
    let plugin = kubectl.directory().join("kubectl-greet");
    std::fs::write(&plugin, "#!/bin/sh\necho hello \"$@\"\nexit 3\n").expect("a file can be written");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&plugin, executable).expect("it is ours");
    let path = format!("{}:{}", kubectl.directory().display(), std::env::var("PATH").unwrap_or_default());
    let terminal = Terminal::of(&kubectl, &[("PATH", &path)]);
    assert_eq!(terminal.run("greet all -x", &[]), "hello all -x\ncode=3\n");
    let said = terminal.piped("plugin list --name-only");
    assert!(said.starts_with("The following compatible plugins are available:\n\nkubectl-greet\n"), "{said}");
}

#[test]
fn who_is_asked_decides() {
    let kubectl = user();
    let terminal = Terminal::of(&kubectl, &[]);
    let is_there = || kubectl.output("get cm settings").status.success();
    let question = "(y/N): ";
    let said = terminal.run("delete -i cm settings", &[(question, Then::Types("n\n"))]);
    assert!(said.contains("1 resource(s):\nconfigmap/settings\n"), "{said}");
    assert!(said.ends_with("deletion is cancelled\ncode=0\n") && is_there(), "{said}");
    // Where nobody answers, nobody has agreed.
    let said = terminal.piped("delete -i cm settings");
    assert!(said.ends_with("deletion is cancelled\n") && is_there(), "{said}");
    let said = terminal.run("delete -i cm settings", &[(question, Then::Types("y\n"))]);
    assert!(said.ends_with("\"settings\" deleted from default namespace\ncode=0\n") && !is_there(), "{said}");
}

#[test]
fn progress_is_written_in_one_place_on_a_terminal() {
    let kubectl = user();
    let deployment = |name: &str| {
        let text = crate::verbs::DEPLOYMENT.replace("{name: web,", &format!("{{name: {name},"));
        kubectl.file(&format!("{name}.yaml"), &text);
        let status = "{\"status\":{\"observedGeneration\":1,\"replicas\":2,\"updatedReplicas\":2,\"readyReplicas\":2,\"availableReplicas\":2}}";
        format!("patch deploy {name} --subresource=status --type=merge -p {status}")
            .replace(status, &format!("'{status}'"))
    };
    let waiting = "has not been seen by its controller";
    let ready = deployment("one");
    let terminal = Terminal::of(&kubectl, &[("TERM", "xterm")]);
    let said = terminal.run("apply -f one.yaml --wait", &[(waiting, Then::Does(&ready))]);
    assert!(said.contains("\u{1b}[1A\u{1b}[2K\u{1b}[?7ldeployment.apps/one: ready"), "{said:?}");
    assert!(said.ends_with("code=0\n"), "{said}");
    let plain = |said: &str| !said.contains('\u{1b}');
    let ready = deployment("two");
    let quiet = Terminal::of(&kubectl, &[("TERM", "xterm"), ("NO_COLOR", "1")]);
    let said = quiet.run("apply -f two.yaml --wait", &[(waiting, Then::Does(&ready))]);
    assert!(plain(&said) && said.ends_with("deployment.apps/two: ready\ncode=0\n"), "{said:?}");
    // It is there already: what is seen of it is that it is ready.
    let said = terminal.piped("apply -f one.yaml --wait");
    assert_eq!(stable(&said), "deployment.apps/one unchanged\ndeployment.apps/one: ready\n");
    for line in ["get deploy", "describe deploy one", "apply -f one.yaml", "diff -f one.yaml"] {
        assert!(plain(&terminal.run(line, &[])), "{line}");
    }
}

#[test]
fn who_waits_on_a_terminal_sees_for_what() {
    let kubectl = user();
    let terminal = Terminal::of(&kubectl, &[("TERM", "xterm")]);
    let green = Then::Does("patch cm settings -p '{\"data\":{\"color\":\"green\"}}'");
    let line = "wait cm/settings --for=jsonpath={.data.color}=green";
    let said = terminal.run(line, &[("waiting for jsonpath={.data.color}=green; it is \"blue\"", green)]);
    assert!(said.starts_with("\u{1b}[2K\u{1b}[?7lconfigmap/settings: waiting for"), "{said:?}");
    assert!(said.ends_with("\u{1b}[1A\u{1b}[Jconfigmap/settings condition met\ncode=0\n"), "{said:?}");
    let line = "wait cm/settings --for=jsonpath={.data.color}=red --timeout=1s";
    let said = terminal.run(line, &[]);
    let late = "error: timed out waiting for the condition on configmaps/settings\n";
    assert!(said.ends_with(&format!("\u{1b}[1A\u{1b}[J{late}code=1\n")), "{said:?}");
    assert_eq!(terminal.piped(line), late);
    let made = Then::Does("create cm later");
    let said = terminal.run("wait cm/later --for=create", &[("configmap/later: waiting for create", made)]);
    assert!(said.ends_with("\u{1b}[Jconfigmap/later condition met\ncode=0\n"), "{said:?}");
}

#[test]
fn who_drains_on_a_terminal_sees_what_is_still_to_go() {
    let kubectl = user();
    let lone = |name: &str| {
        let pod = format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: worker}}\n---\napiVersion: v1\nkind: Pod\n\
             metadata: {{name: {name}}}\nspec: {{nodeName: worker, containers: [{{name: a, image: a}}]}}\n"
        );
        kubectl.file("lone.yaml", &pod);
        let output = kubectl.output("apply -f lone.yaml");
        assert!(output.status.success(), "{output:?}");
    };
    assert!(kubectl.output("create serviceaccount default").status.success());
    lone("one");
    let terminal = Terminal::of(&kubectl, &[("TERM", "xterm")]);
    // No node is there that would end it.
    let ends = Then::Does("delete pod one --force --grace-period=0");
    let said = terminal.run("drain worker --force", &[("node/worker: 1 of 1 pods still to go: default/one", ends)]);
    assert!(said.ends_with("\u{1b}[1A\u{1b}[Jpod/one evicted\nnode/worker drained\ncode=0\n"), "{said:?}");
    lone("two");
    let said = terminal.piped("drain worker --force --timeout=1s");
    assert!(said.contains("evicting pod default/two\n") && !said.contains('\u{1b}'), "{said:?}");
    assert!(!said.contains("still to go"), "{said:?}");
}

#[test]
fn tokens_are_made_of_three_parts() {
    let kubectl = user();
    let terminal = Terminal::of(&kubectl, &[]);
    assert_eq!(terminal.piped("create serviceaccount robot"), "serviceaccount/robot created\n");
    let token = terminal.piped("create token robot --duration=20m");
    assert_eq!(token.trim_end().split('.').count(), 3, "{token}");
    assert_eq!(terminal.piped("create token robot -o jsonpath={.kind}"), "TokenRequest");
    let said = terminal.piped("create token nothing");
    assert_eq!(said, "error: failed to create token: serviceaccounts \"nothing\" not found\n");
}
