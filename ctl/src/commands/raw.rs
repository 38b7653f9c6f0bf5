//! `--raw`: a path of the server as it is, of `get`, `create`, `replace` and `delete`.

use http::Method;
use serde_json::json;

use crate::manifest::Files;
use crate::session::Ask;
use crate::{Error, Session};

/// Asks the server, and shows what it answers as it is. `output` is what `-o` says, and `is_filtered` whether other options
/// choose what is shown.
pub(crate) async fn run(
    session: &mut Session<'_>,
    (method, path): (Method, &str),
    files: Option<&Files>,
    (output, is_filtered): (&str, bool),
) -> Result<(), Error> {
    let sends = matches!(method, Method::POST | Method::PUT);
    check(path, sends, files.map(|files| &files.filename[..]).unwrap_or_default(), (output, is_filtered))
        .map_err(Error::said)?;
    if files.is_some_and(|files| files.recursive) {
        return Err(Error::said("--raw and --recursive are mutually exclusive"));
    }
    let name = files.and_then(|files| files.filename.first());
    let body = match name {
        Some(name) => read(session, name)?,
        None => Vec::new(),
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let content_type = name.map(|_| "application/json");
    let mut ask = Ask { method, content_type, body, ..Ask::get(path) };
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    ask.query = pairs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let answer = session.ask(ask).await.map_err(|error| match error {
        Error::Server(status) if status["code"] == 404 && status["reason"].is_null() => {
            let message = "the server could not find the requested resource";
            Error::Server(Box::new(json!({"reason": "NotFound", "message": message})))
        }
        other => other,
    })?;
    session.write_bytes(&answer)
}

fn check(path: &str, sends: bool, files: &[String], (output, is_filtered): (&str, bool)) -> Result<(), String> {
    if sends && files.is_empty() {
        return Err("must specify one of -f and -k".to_owned());
    }
    let is_remote = |name: &String| name.starts_with("http://") || name.starts_with("https://");
    if files.len() > 1 || files.iter().any(is_remote) {
        return Err("--raw can only use a single local file or stdin".to_owned());
    }
    if is_filtered {
        return Err(
            "--raw may not be specified with other flags that filter the server request or alter the output".to_owned()
        );
    }
    if !output.is_empty() {
        return Err("--raw and --output are mutually exclusive".to_owned());
    }
    if !path.starts_with('/') {
        return Err(format!("--raw must be a valid URL path: parse {path:?}: invalid URI for request"));
    }
    Ok(())
}

fn read(session: &mut Session<'_>, name: &str) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    if name == "-" {
        session.input().read_to_end(&mut body)?;
        return Ok(body);
    }
    std::fs::read(name).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            _ => error.to_string(),
        };
        Error::said(format!("open {name}: {why}"))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_else_goes_with_it() {
        let check = |path: &str, sends: bool, files: &[&str], options: (&str, bool), expected: &str| {
            let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
            let why = super::check(path, sends, &files, options).err().unwrap_or_default();
            assert_eq!(why, expected, "{path} {files:?}");
        };
        check("/x", true, &["f"], ("", false), "");
        check("/x", false, &[], ("", false), "");
        check("/x", true, &[], ("", false), "must specify one of -f and -k");
        check("/x", true, &["a", "b"], ("", false), "--raw can only use a single local file or stdin");
        check("/x", false, &["http://a"], ("", false), "--raw can only use a single local file or stdin");
        check("/x", true, &["a"], ("json", false), "--raw and --output are mutually exclusive");
        let filtered = "--raw may not be specified with other flags that filter the server request or alter the output";
        check("/x", false, &[], ("", true), filtered);
        check("x", false, &[], ("", false), "--raw must be a valid URL path: parse \"x\": invalid URI for request");
    }
}
