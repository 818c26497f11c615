//! Links in HTML.

use std::{convert::Infallible, mem};

use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};
use url::Url;

use crate::{
    headers::{is_invisible, shown},
    indicator::{Unfit, host_part, keep, looks_like_host, normalise, refang},
};

/// Links kept of one part, before those that are the same fall together.
const MAX_LINKS: usize = 10_000;
/// Of one attribute: longer ones are pictures in `data:` URLs.
const MAX_ATTRIBUTE: usize = 16 * 1024;
/// Of one link's text.
const MAX_ANCHOR: usize = 1000;
/// What a summary shows of a link's text.
const MAX_SHOWN: usize = 200;

/// What an HTML part leads to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of the document: where each link leads, and what it shows when that is the address of another host.
    pub links: Vec<(String, Option<String>)>,
    /// The text a reader sees outside of links.
    pub text: String,
    /// Images of the mail itself that are shown: Content-IDs.
    pub cids: Vec<String>,
    /// Some links were left out: there are too many.
    pub cut: bool,
    /// Some links were left out: they are too long.
    pub too_long: bool,
}

/// Reads an HTML part.
pub(crate) fn read(html: &str) -> Found {
    let mut sink = Sink::default();
    let mut fragments = vec![html.to_string()];
    // Within comments for Outlook, and within <noscript>, there is markup again; within that, once more at most.
    for _ in 0..3 {
        for fragment in mem::take(&mut fragments) {
            let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| -> Option<Infallible> {
                sink.event(event);
                None
            });
            emitter.naively_switch_states(true);
            // The emitter makes no tokens, so the first call reads to the end.
            let token = Tokenizer::new_with_emitter(fragment.as_str(), emitter).next();
            debug_assert!(token.is_none());
            sink.close_anchor();
            sink.silent = 0;
        }
        fragments = mem::take(&mut sink.fragments);
    }
    sink.finish()
}

#[derive(Debug, Default)]
struct Sink {
    /// As written, with the text of a link.
    raw: Vec<(String, Option<String>)>,
    base: Option<Url>,
    tag: Vec<u8>,
    /// The attribute whose value comes next, where it means something.
    attribute: Option<Wanted>,
    href: Option<String>,
    anchor: Option<(String, String)>,
    text: String,
    /// How many elements are open whose text nobody sees.
    silent: usize,
    noscript: bool,
    fragments: Vec<String>,
    cids: Vec<String>,
    cut: bool,
    too_long: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Link,
    Picture,
}

impl Sink {
    fn event(&mut self, event: CallbackEvent<'_>) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag.clear();
                self.tag.extend_from_slice(name);
                self.attribute = None;
                self.href = None;
            }
            CallbackEvent::AttributeName { name } => self.attribute = wanted(&self.tag, name),
            CallbackEvent::AttributeValue { value } => match self.attribute.take() {
                // Of two the first counts, as in browsers.
                Some(Wanted::Link) if self.href.is_none() => self.href = Some(self.address(value)),
                Some(Wanted::Picture) => self.picture(value),
                _ => {}
            },
            CallbackEvent::CloseStartTag { .. } => self.start(),
            CallbackEvent::EndTag { name } => self.end(name),
            CallbackEvent::String { value } => self.string(&String::from_utf8_lossy(value)),
            CallbackEvent::Comment { value } => self.comment(value),
            CallbackEvent::Doctype { .. } | CallbackEvent::Error(_) => {}
        }
    }

    fn address(&mut self, value: &[u8]) -> String {
        if value.len() <= MAX_ATTRIBUTE {
            return String::from_utf8_lossy(value).into_owned();
        }
        self.too_long |= begins_link(value);
        // What is cut is a link no more: it must not be taken for one.
        String::new()
    }

    fn picture(&mut self, value: &[u8]) {
        if let Some(cid) = value.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case(b"cid:")).and(value.get(4..))
            && self.cids.len() < 1000
        {
            self.cids.push(String::from_utf8_lossy(&crate::codecs::percent(cid)).into_owned());
        }
    }

    fn start(&mut self) {
        let href = self.href.take();
        match self.tag.as_slice() {
            b"base" => {
                // Only the first one counts.
                if self.base.is_none() {
                    self.base = href.and_then(|href| Url::parse(&href).ok()).filter(|url| !url.cannot_be_a_base());
                }
            }
            b"a" => {
                self.close_anchor();
                self.anchor = href.map(|href| (href, String::new()));
            }
            b"script" | b"style" | b"title" | b"iframe" => {
                self.silent = 1;
                self.push(href, None);
            }
            b"noscript" => self.noscript = true,
            tag => {
                let is_block = !is_inline(tag);
                self.push(href, None);
                self.gap(is_block);
            }
        }
    }

    fn end(&mut self, name: &[u8]) {
        match name {
            b"a" => self.close_anchor(),
            b"script" | b"style" | b"title" | b"iframe" => self.silent = 0,
            b"noscript" => self.noscript = false,
            name => self.gap(!is_inline(name)),
        }
    }

    /// Text before and after a block is not one word.
    fn gap(&mut self, is_block: bool) {
        if is_block {
            match &mut self.anchor {
                Some((_, text)) => text.push(' '),
                None if !self.text.ends_with('\n') => self.text.push('\n'),
                None => {}
            }
        }
    }

    fn string(&mut self, value: &str) {
        if self.noscript {
            self.fragment(value);
        } else if self.silent > 0 {
        } else if let Some((_, text)) = &mut self.anchor {
            text.extend(value.chars().take(MAX_ANCHOR.saturating_sub(text.len())));
        } else {
            self.text.push_str(value);
        }
    }

    /// Outlook shows what stands in `<!--[if mso]>…<![endif]-->`.
    fn comment(&mut self, value: &[u8]) {
        let value = String::from_utf8_lossy(value);
        if let Some((_, inner)) = value.strip_prefix("[if").and_then(|rest| rest.split_once("]>")) {
            self.fragment(inner);
        }
    }

    fn fragment(&mut self, markup: &str) {
        if markup.contains('<') {
            self.fragments.push(markup.to_string());
        }
    }

    fn close_anchor(&mut self) {
        if let Some((href, text)) = self.anchor.take() {
            self.push(Some(href), Some(text));
        }
    }

    fn push(&mut self, href: Option<String>, text: Option<String>) {
        let Some(href) = href else { return };
        if self.raw.len() < MAX_LINKS {
            self.raw.push((href, text));
        } else {
            self.cut = true;
        }
    }

    /// Addresses are put together last: a `<base>` counts for the links before it too.
    fn finish(self) -> Found {
        let Self { raw, base, text, cids, cut, mut too_long, .. } = self;
        let links = raw.into_iter().filter_map(|(href, shows)| match resolve(&href, base.as_ref()) {
            Ok(url) => {
                let lie = shows.and_then(|text| lie(&text, &url));
                Some((url, lie))
            }
            Err(why) => {
                too_long |= why == Unfit::TooLong;
                None
            }
        });
        Found { links: links.collect(), text, cids, cut, too_long }
    }
}

fn wanted(tag: &[u8], attribute: &[u8]) -> Option<Wanted> {
    let is_link = match tag {
        b"a" | b"area" | b"base" => attribute == b"href" || attribute == b"xlink:href",
        b"form" => attribute == b"action",
        b"button" | b"input" => attribute == b"formaction",
        b"iframe" | b"frame" => attribute == b"src",
        // Buttons for Outlook.
        tag => tag.starts_with(b"v:") && attribute == b"href",
    };
    if is_link { Some(Wanted::Link) } else { matches!(attribute, b"src" | b"background").then_some(Wanted::Picture) }
}

fn is_inline(tag: &[u8]) -> bool {
    matches!(
        tag,
        b"b" | b"i"
            | b"u"
            | b"s"
            | b"em"
            | b"strong"
            | b"span"
            | b"font"
            | b"wbr"
            | b"small"
            | b"big"
            | b"mark"
            | b"sub"
            | b"sup"
    )
}

/// Whether something long begins as a link does; `data:` URLs, scripts and mail addresses do not.
fn begins_link(value: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&value[..value.len().min(1000)]);
    match Url::parse(&start) {
        Ok(url) => matches!(url.scheme(), "http" | "https"),
        Err(_) => !start.trim_start().starts_with('#'),
    }
}

fn resolve(href: &str, base: Option<&Url>) -> Result<String, Unfit> {
    let href = href.trim();
    match Url::parse(href) {
        Ok(url) => keep(url),
        Err(url::ParseError::RelativeUrlWithoutBase) if href.is_empty() || href.starts_with('#') => Err(Unfit::NoLink),
        Err(url::ParseError::RelativeUrlWithoutBase) => match base {
            Some(base) => keep(base.join(href).map_err(|_| Unfit::NoLink)?),
            // Without a base, mail programs take these two for addresses all the same.
            None if href.starts_with("//") => normalise(&format!("https:{href}")),
            None if href.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www.")) => normalise(&format!("http://{href}")),
            None => Err(Unfit::NoLink),
        },
        Err(_) => Err(Unfit::NoLink),
    }
}

/// What a link shows, when that is the address of another host than the one it leads to.
fn lie(text: &str, leads_to: &str) -> Option<String> {
    let visible: String = text.chars().filter(|c| !is_invisible(*c) || c.is_whitespace()).collect();
    let shows = shown(&visible, MAX_SHOWN);
    let claimed = claimed_host(shows.split(' ').next()?)?;
    let host = Url::parse(leads_to).ok()?.host_str().map(same_host)?;
    (claimed != host).then_some(shows)
}

/// The host that a word claims to lead to.
fn claimed_host(word: &str) -> Option<String> {
    // Names of files look like names of hosts, and some of their endings are top-level domains.
    const FILES: [&str; 42] = [
        "7z", "bat", "bmp", "cmd", "css", "csv", "dmg", "doc", "docm", "docx", "eml", "exe", "gif", "gz", "htm", "html", "ics",
        "iso", "jpeg", "jpg", "js", "json", "md", "mov", "mp3", "mp4", "msg", "odt", "pdf", "png", "pps", "ppt", "pptx", "py",
        "rar", "rtf", "sh", "svg", "tar", "txt", "xml", "zip",
    ];
    let word = word.trim_start_matches(['(', '<', '[', '"', '\'', '„', '“', '«', '‹', '→', '»', '>']);
    let word = word.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '>', ']', '"', '\'', '”', '“', '»', '…']);
    let word = refang(word);
    let lower = word.to_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return Url::parse(&word).ok()?.host_str().map(same_host);
    }
    let host = host_part(&word);
    let is_file = !lower.starts_with("www.")
        && host.len() == word.len()
        && (lower.rsplit('.').next().is_some_and(|end| FILES.contains(&end) || end.starts_with("xls")));
    if is_file || word.contains('@') || !looks_like_host(host) {
        return None;
    }
    Url::parse(&format!("http://{host}/")).ok()?.host_str().map(same_host)
}

fn same_host(host: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host.strip_prefix("www.").map(str::to_string).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(html: &str) -> Vec<String> {
        read(html).links.into_iter().map(|(url, _)| url).collect()
    }

    #[test]
    fn links_forms_and_frames_count_and_pictures_do_not() {
        let html = r#"<a href="https://a.example/1#x">x</a><map><area href='https://a.example/2'></map>
            <form action=https://a.example/3><button formaction="https://a.example/4"></form>
            <iframe src="https://a.example/5"></iframe><img src="https://a.example/no"><link href="https://a.example/no">
            <a href="mailto:a@a.example">x</a><a href="tel:1">x</a><a href="javascript:alert(1)">x</a><a href="data:text/html,x">
            <a href="ftp://a.example/no">x</a><a href="&#104;ttps://a.example/6?a=1&amp;b=2">x</a><a href=" ht&#10;tps://a.example/7 ">
            <a href="//a.example/8">x</a><a href="www.a.example/9">x</a><a href="/no">x</a><a href="https://a.example/10" href="https://no.example">
            <!--[if mso]><v:roundrect href="https://a.example/11"></v:roundrect><![endif]-->
            <noscript><a href="https://a.example/12">x</a></noscript><script>'<a href="https://a.example/no">'; if(a<b"</script>
            <a href="https:\\a.example\13">x"#;
        let mut found: Vec<String> = links(html).iter().map(|url| url.rsplit('/').next().unwrap().to_string()).collect();
        found.sort_by_key(|end| end.split('?').next().unwrap().parse::<u8>().unwrap_or(99));
        assert_eq!(found, ["1", "2", "3", "4", "5", "6?a=1&b=2", "7", "8", "9", "10", "11", "12", "13"]);
    }

    #[test]
    fn a_base_counts_for_every_relative_link() {
        assert_eq!(
            links(r#"<a href="x">1</a><base href="https://b.example/d/"><base href="https://no.example/"><a href="../y">2</a>"#),
            ["https://b.example/d/x", "https://b.example/y"]
        );
    }

    #[test]
    fn links_that_are_too_long_are_told_of() {
        let long = |length: usize| "x".repeat(length);
        for (start, length, told) in [
            ("https://a.example/", 8000, false),
            ("https://a.example/", 9000, true),
            ("https://a.example/", 20_000, true),
            ("//a.example/", 9000, true),
            ("//a.example/", 20_000, true),
            ("data:text/html,", 20_000, false),
            ("mailto:a@a.example?body=", 20_000, false),
            ("#", 20_000, false),
        ] {
            let found = read(&format!("<a href='{start}{}'>x</a>", long(length)));
            assert_eq!(found.too_long, told, "{start} {length}");
        }
        assert!(!read(&format!("<img src='https://a.example/{}'>", long(20_000))).too_long);
    }

    #[test]
    fn lies_are_told_from_words() {
        for (text, href, lies) in [
            ("https://bank.example/login", "https://evil.example/", true),
            ("bank.example", "https://evil.example/", true),
            ("  www.bank.example: log in", "https://evil.example/", true),
            ("https://bank.example@evil.example/", "https://evil.example/", false),
            ("ba\u{200b}nk.example", "https://evil.example/", true),
            ("https://www.bank.example/x", "https://bank.example/y", false),
            ("BANK.example.", "https://www.bank.example/", false),
            ("bücher.example", "https://xn--bcher-kva.example/", false),
            ("Click here", "https://evil.example/", false),
            ("Invoice.pdf", "https://evil.example/", false),
            ("Q3.xlsx", "https://evil.example/", false),
            ("3.5", "https://evil.example/", false),
            ("someone@bank.example", "https://evil.example/", false),
            ("<b>https://</b>bank.example", "https://evil.example/", true),
            ("http://192.0.2.1/", "http://3221225985/", false),
            ("hxxps://bank[.]example", "https://evil.example/", true),
        ] {
            let found = read(&format!("<a href=\"{href}\">{text}</a>"));
            assert_eq!(found.links[0].1.is_some(), lies, "{text} {:?}", found.links);
        }
    }

    #[test]
    fn the_text_outside_of_links_is_kept() {
        let found = read(
            "<title>no</title><style>no</style><p>a<b>b</b></p><p>c <a href=x>no</a>d</p><img src='cid:a%40b'><script>no</script>",
        );
        assert_eq!(found.text.split_whitespace().collect::<Vec<_>>(), ["ab", "c", "d"]);
        assert_eq!(found.cids, ["a@b"]);
    }
}
