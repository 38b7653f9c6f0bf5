//! `gantry auth whoami`.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::output::Printing;
use crate::output::table::Printer;
use crate::session::Ask;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    output: Printing,
}

/// Shows who one is to the server.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}});
    let ask = Ask::with(Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews", &review);
    let answer = session.json(ask).await.map_err(|error| match error.reason() {
        Some("NotFound" | "Forbidden") => Error::said(
            "the selfsubjectreviews API is not enabled in the cluster or you do not have permission to call it",
        ),
        _ => error,
    })?;
    if let Some(format) = arguments.output.of_objects()? {
        let mut shown = answer;
        if let Some(meta) = shown["metadata"].as_object_mut() {
            meta.remove("creationTimestamp");
        }
        return format.write(session, &shown, &|_| "selfsubjectreview.authentication.k8s.io/<unknown>".to_owned());
    }
    session.write(&Printer::plain(&lines(&answer["status"]["userInfo"])))
}

fn lines(user: &Value) -> Vec<Vec<String>> {
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let mut lines = vec![line("ATTRIBUTE", "VALUE".to_owned())];
    for (name, field) in [("Username", "username"), ("UID", "uid")] {
        lines.extend(user[field].as_str().filter(|text| !text.is_empty()).map(|text| line(name, text.to_owned())));
    }
    if user["groups"].as_array().is_some_and(|groups| !groups.is_empty()) {
        lines.push(line("Groups", bracketed(&user["groups"])));
    }
    for (key, values) in user["extra"].as_object().into_iter().flatten() {
        lines.push(line(&format!("Extra: {key}"), bracketed(values)));
    }
    lines
}

/// Texts as Go shows a list of them.
pub(super) fn bracketed(values: &Value) -> String {
    let texts: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_shown() {
        let shown = Printer::plain(&lines(&json!({"username": "a", "groups": ["b", "c"]})));
        assert_eq!(shown, "ATTRIBUTE   VALUE\nUsername    a\nGroups      [b c]\n");
    }
}
