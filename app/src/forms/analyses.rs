//! The forms of analyses, posted without JavaScript.
//!
//! | Posted to | Fields |
//! |---|---|
//! | the list | `indicator` or `file`; `kind` (`url`, `ip`, `hash`) where it is known already: Analyse again |

use std::time::Duration;

use gatehouse_domain::{AppError, SubjectKind};
use gatehouse_platform::AnalysisInput;

use super::{Fields, FormResult, PostedFile};
use crate::{context::RequestContext, pages::incident_responder::analyses::urls};

/// Handles a form of these pages.
pub async fn handle(path: &str, fields: &Fields, files: Vec<PostedFile>, context: &RequestContext) -> FormResult {
    if path != urls::LIST {
        return FormResult::NotFound;
    }
    let Some(actor) = &context.actor else { return FormResult::to("/sign-in") };
    let started = match input(fields, files) {
        // Nobody waits here: the analysis has a page that shows how it goes on.
        Ok(input) => context.platform.start_analysis(actor, input, Duration::ZERO).await,
        Err(error) => Err(error),
    };
    match started {
        Ok(view) => FormResult::to(urls::page(&view.id)),
        Err(error) => FormResult::error(error, fields.keep(&["indicator"])),
    }
}

/// What is to be analysed: a text or a file, not both.
fn input(fields: &Fields, files: Vec<PostedFile>) -> Result<AnalysisInput, AppError> {
    let text = fields.get("indicator").trim();
    let file = files.into_iter().find(|file| file.field == "file");
    match (file, text) {
        (None, "") => Err(AppError::invalid("indicator", "Enter a URL, an IP address or a file hash, or choose a file.")),
        (Some(_), text) if !text.is_empty() => {
            Err(AppError::invalid("indicator", "One thing at a time: empty this field, or choose no file."))
        }
        (Some(file), _) if file.bytes.is_empty() => Err(AppError::invalid("file", "This file is empty. Choose another one.")),
        (Some(file), _) if is_mail(&file) => Ok(AnalysisInput::Email(file.bytes)),
        (Some(file), _) => Ok(AnalysisInput::File { name: base_name(&file.name).to_string(), bytes: file.bytes }),
        (None, text) => Ok(match fields.get("kind").parse() {
            Ok(SubjectKind::Url) => AnalysisInput::Url(text.to_string()),
            Ok(SubjectKind::Ip) => AnalysisInput::Ip(text.to_string()),
            Ok(SubjectKind::Hash) => AnalysisInput::Hash(text.to_string()),
            _ => AnalysisInput::Text(text.to_string()),
        }),
    }
}

/// Whether a file is a reported e-mail: by the media type that the browser knows, or by the name that mail programs give them.
fn is_mail(file: &PostedFile) -> bool {
    let by_name = file.name.rsplit_once('.').is_some_and(|(_, extension)| extension.trim().eq_ignore_ascii_case("eml"));
    by_name || file.kind.trim().eq_ignore_ascii_case("message/rfc822")
}

/// Some browsers send the folder too.
fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect())
    }

    fn file(name: &str, bytes: &[u8]) -> Vec<PostedFile> {
        vec![PostedFile { field: "file".into(), name: name.into(), kind: String::new(), bytes: bytes.into() }]
    }

    #[test]
    fn a_text_is_guessed_unless_its_kind_is_known() {
        let guessed = input(&fields(&[("indicator", " https://example.com/ ")]), Vec::new());
        assert!(matches!(guessed, Ok(AnalysisInput::Text(text)) if text == "https://example.com/"));
        let known = input(&fields(&[("indicator", "192.0.2.1"), ("kind", "ip")]), Vec::new());
        assert!(matches!(known, Ok(AnalysisInput::Ip(text)) if text == "192.0.2.1"));
        let hash = input(&fields(&[("indicator", "ab"), ("kind", "hash")]), Vec::new());
        assert!(matches!(hash, Ok(AnalysisInput::Hash(_))));
        let odd = input(&fields(&[("indicator", "ab"), ("kind", "file")]), Vec::new());
        assert!(matches!(odd, Ok(AnalysisInput::Text(_))));
    }

    #[test]
    fn an_eml_is_a_mail_and_all_else_a_file() {
        let none = fields(&[("indicator", "")]);
        assert!(matches!(input(&none, file("Report.EML", b"From: a")), Ok(AnalysisInput::Email(_))));
        let posted = input(&none, file(r"C:\tmp\eml.exe", b"MZ"));
        assert!(matches!(posted, Ok(AnalysisInput::File { name, .. }) if name == "eml.exe"));
        assert!(matches!(input(&none, file("eml", b"x")), Ok(AnalysisInput::File { .. })));
    }

    #[test]
    fn what_is_wrong_is_said_at_its_field() {
        let field = |result: Result<AnalysisInput, AppError>| {
            result.err().and_then(|error| error.fields().0.keys().next().cloned()).unwrap_or_default()
        };
        assert_eq!(field(input(&fields(&[]), Vec::new())), "indicator");
        assert_eq!(field(input(&fields(&[("indicator", "a")]), file("a", b"a"))), "indicator");
        assert_eq!(field(input(&fields(&[("indicator", " ")]), file("a", b""))), "file");
    }
}
