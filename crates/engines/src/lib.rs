//! Analysis engines: one module for each kind of service.
//!
//! All modules are alike: a `SPEC` that says what the service is and can do, a struct without fields, its
//! [`Engine`](gatehouse_platform::engine::Engine), and private functions that make a verdict of an answer, with tests of the
//! answers that the service documents. What they have in common (statuses, JSON, encodings, polling) is in `service`.
//!
//! **Adding one** touches its module, its line in [`catalogue`] and its rows in `tests/replay/`;
//! `docs/guide/engines/README.md` goes through it.
//!
//! **Invariants.**
//! * An engine opens no connection: it asks its [`EngineContext`](gatehouse_platform::engine::EngineContext), which walks the
//!   integration's route and records the request.
//! * What is not an answer is never `clean`: an error status, a page instead of JSON, and a missing field are failures, each
//!   with its own cause. `clean` comes only of what the service documents as such.
//! * What a service says is judged by numbers and by words from fixed lists. Where a service's own words are shown as
//!   evidence they are short and without control characters; they never stand in a message.
//! * A key goes into a header field, or into the URL where the service has no other place for it, and nowhere else.
//!
//! **Deliberately absent**: state between two look-ups (answers are cached by the platform, connections kept by the door).

use std::sync::Arc;

use gatehouse_platform::engine::{Catalogue, Engine};

mod google;
mod service;
mod spamhaus;

pub mod abuseipdb;
pub mod anyrun;
pub mod custom_http;
pub mod google_safe_browsing;
pub mod google_web_risk;
pub mod metadefender;
pub mod otx;
pub mod spamhaus_dns;
pub mod spamhaus_wqs;
pub mod urlhaus;
pub mod urlscan;
pub mod virustotal;
pub mod vmray;
pub mod xforce;

#[cfg(test)]
mod script;

/// All engines, in the order in which they are offered.
#[must_use]
pub fn catalogue() -> Catalogue {
    let engines: Vec<Arc<dyn Engine>> = vec![
        Arc::new(virustotal::VirusTotal),
        Arc::new(google_safe_browsing::SafeBrowsing),
        Arc::new(google_web_risk::WebRisk),
        Arc::new(spamhaus_dns::SpamhausDns),
        Arc::new(spamhaus_wqs::SpamhausWqs),
        Arc::new(xforce::XForce),
        Arc::new(metadefender::MetaDefender),
        Arc::new(vmray::VmRay),
        Arc::new(anyrun::AnyRun),
        Arc::new(urlscan::UrlScan),
        Arc::new(abuseipdb::AbuseIpDb),
        Arc::new(urlhaus::UrlHaus),
        Arc::new(otx::Otx),
        Arc::new(custom_http::CustomHttp),
    ];
    Catalogue::new(engines)
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{KeyNeed, TestTarget};

    use super::*;

    #[test]
    fn the_catalogue_is_the_contracts() {
        let catalogue = catalogue();
        let kinds: Vec<_> = catalogue.specs().map(|spec| spec.kind).collect();
        assert_eq!(
            kinds,
            [
                "virustotal",
                "google_safe_browsing",
                "google_web_risk",
                "spamhaus_dns",
                "spamhaus_wqs",
                "xforce",
                "metadefender",
                "vmray",
                "anyrun",
                "urlscan",
                "abuseipdb",
                "urlhaus",
                "otx",
                "custom_http"
            ]
        );
    }

    #[test]
    fn every_spec_fits_together() {
        for spec in catalogue().specs() {
            let (can, starts) = (spec.can, spec.starts_with);
            assert!(starts.any(), "{}: a new one has something to do", spec.kind);
            assert!(
                (can.url || !starts.url) && (can.sender_ip || !starts.sender_ip) && (can.attachment || !starts.attachment),
                "{}",
                spec.kind
            );
            let address = if spec.api_url.is_empty() { spec.api_url_example } else { spec.api_url };
            assert!(address.starts_with("https://"), "{}", spec.kind);
            TestTarget::parse(address).unwrap();
            assert!(spec.key == KeyNeed::None || !spec.key_label.is_empty(), "{}", spec.kind);
            for option in spec.options {
                assert_eq!((option.check)(option.default), Ok(()), "{}.{}", spec.kind, option.name);
            }
            let uploads = spec.uploads && spec.notes.iter().any(|note| note.contains("uploaded"));
            assert_eq!(uploads, spec.uploads, "{}: whoever uploads says so", spec.kind);
            let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/engines/");
            assert!(std::fs::exists(format!("{guide}{}.md", spec.kind)).unwrap(), "{} has no page in the guide", spec.kind);
        }
    }
}
