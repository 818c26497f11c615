//! Lists of categories that are fetched: first, again, and when what comes is no list.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gatehouse_gateway::{Gateway, policy::Policy};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::bed::ask;

/// What the next questions are answered, and what they were.
#[derive(Clone, Default)]
struct Publisher(Arc<Mutex<(Vec<u8>, Vec<String>)>>);

impl Publisher {
    fn says(&self, answer: impl AsRef<[u8]>) {
        self.0.lock().unwrap().0 = answer.as_ref().to_vec();
    }

    fn list(&self, list: &str) {
        let marks = "ETag: W/\"v 1\"\r\nLast-Modified: Saturday, 01-Jan-22 00:00:00 GMT\r\n";
        self.says(format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{marks}Content-Length: {}\r\n\r\n{list}", list.len()));
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let answer = {
            let mut state = self.0.lock().unwrap();
            state.1.push(String::from_utf8_lossy(&head).into_owned());
            state.0.clone()
        };
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
    }

    /// Answers on a port of its own.
    async fn start(&self, tls: Option<TlsAcceptor>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let publisher = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (publisher, tls) = (publisher.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => publisher.serve(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                publisher.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        port
    }
}

fn policy(url: &str, every: &str, more: &str) -> String {
    format!(
        "[listen]\naddresses = ['127.0.0.1:0']\n[network]\nopen = ['127.0.0.0/8']\nconnect_ports = ['1-65535']\nhttp_ports = ['1-65535']\n\
         [lists]\nfolder = 'lists'\nevery = '{every}'\n{more}[[category]]\nname = 'ads'\nlevel = 'unsafe'\nurls = ['{url}']\n\
         [[rule]]\nname = 'no ads'\naction = 'deny'\ncategories = ['ads']\n"
    )
}

/// A gateway that does with its lists what `gatehouse gateway` does.
struct Following {
    gateway: Arc<Gateway>,
    folder: tempfile::TempDir,
}

impl Following {
    async fn start(text: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::again(text, folder).await
    }

    async fn again(text: String, folder: tempfile::TempDir) -> Self {
        let base = folder.path().to_path_buf();
        let read = move || Policy::parse(&text, &base).unwrap_or_else(|problems| panic!("{problems:?}"));
        let gateway = Arc::new(Gateway::start(read(), None).await.unwrap());
        let following = gateway.clone();
        tokio::spawn(async move {
            loop {
                following.lists_changed().await;
                following.swap(read());
            }
        });
        Self { gateway, folder }
    }

    /// Which rule refuses it: the one about categories, or none at all.
    async fn is_in_category(&self, host: &str) -> bool {
        let answer = ask(&self.gateway, format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        answer.field("proxy-status").unwrap_or_default().contains("no ads")
    }

    async fn soon_in_category(&self, host: &str, wanted: bool) {
        let begun = Instant::now();
        while self.is_in_category(host).await != wanted {
            assert!(begun.elapsed() < Duration::from_secs(10), "{host} is not {wanted}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn kept(&self) -> String {
        kept(self.folder.path())
    }
}

/// The one list in this folder.
fn kept(folder: &Path) -> String {
    let mut files = fs::read_dir(folder.join("lists")).unwrap().flatten().map(|file| file.path());
    let list = files.find(|path| path.extension().is_some_and(|what| what == "list")).unwrap();
    fs::read_to_string(list).unwrap()
}

fn hosts(name: &str, count: usize) -> String {
    (0..count).map(|number| format!("{name}{number}.example\n")).collect()
}

#[tokio::test]
async fn a_list_is_in_force_when_it_has_come_and_again_when_it_changes() {
    let publisher = Publisher::default();
    publisher.list(&hosts("ads", 200));
    let port = publisher.start(None).await;
    let text = policy(&format!("http://127.0.0.1:{port}/ads.txt?x=1"), "1 s", "");
    let following = Following::start(text.clone()).await;
    following.soon_in_category("ads7.example", true).await;
    assert!(!following.is_in_category("other7.example").await);
    assert!(publisher.asked()[0].starts_with("GET /ads.txt?x=1 HTTP/1.1\r\n"), "{:?}", publisher.asked());
    publisher.list(&format!("{}other7.example\n", hosts("ads", 199)));
    following.soon_in_category("other7.example", true).await;
    assert!(!following.is_in_category("ads199.example").await);
    // What is no list, or half of one, or almost nothing, does not take its place.
    let kept = following.kept();
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n<html><body><p>We have moved.</p>\n<p>Come again.</p></body>".to_string(),
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nads1.example\nads2.example\n".into(),
        "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nads1.example\n".into(),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(),
        "HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nads1.example\n".into(),
        "HTTP/1.1 304 Not Modified\r\n\r\n".into(),
        "HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\n\r\n".into(),
        "not HTTP at all".into(),
    ] {
        publisher.says(&answer);
        let before = publisher.asked().len();
        let fresh = Following::again(text.clone(), copy_of(following.folder.path())).await;
        let begun = Instant::now();
        while publisher.asked().len() == before {
            assert!(begun.elapsed() < Duration::from_secs(10), "not asked again: {answer}");
            sleep(Duration::from_millis(50)).await;
        }
        sleep(Duration::from_millis(100)).await;
        assert_eq!(fresh.kept(), kept, "{answer}");
        assert!(fresh.is_in_category("other7.example").await, "{answer}");
    }
    let last = publisher.asked().pop().unwrap();
    assert!(last.contains("Accept-Encoding: gzip"), "{last}");
    // Word for word what the publisher has said, strange as it is.
    let marks = "If-None-Match: W/\"v 1\"\r\nIf-Modified-Since: Saturday, 01-Jan-22 00:00:00 GMT\r\n";
    assert!(last.contains(marks), "{last}");
    assert!(!publisher.asked()[0].contains("If-"), "{}", publisher.asked()[0]);
}

#[tokio::test]
async fn a_list_that_was_deleted_and_one_without_marks_are_asked_for_as_a_whole() {
    let publisher = Publisher::default();
    publisher.list(&hosts("ads", 20));
    let port = publisher.start(None).await;
    let following = Following::start(policy(&format!("http://127.0.0.1:{port}/"), "1 s", "")).await;
    following.soon_in_category("ads1.example", true).await;
    let asked = async |wanted: fn(&str) -> bool| {
        let begun = Instant::now();
        while !publisher.asked().last().is_some_and(|last| wanted(last)) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", publisher.asked().last());
            sleep(Duration::from_millis(50)).await;
        }
    };
    asked(|last| last.contains("If-None-Match")).await;
    // As an operator does who was told to.
    for file in fs::read_dir(following.folder.path().join("lists")).unwrap().flatten() {
        if file.path().extension().is_some_and(|what| what == "list") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    asked(|last| !last.contains("If-")).await;
    let unmarked = hosts("new", 20);
    publisher.says(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{unmarked}", unmarked.len()));
    following.soon_in_category("new1.example", true).await;
    asked(|last| !last.contains("If-")).await;
    // Without having been asked whether it has changed, it has nothing to say but the list.
    publisher.says("HTTP/1.1 304 Not Modified\r\n\r\n");
    sleep(Duration::from_secs(2)).await;
    assert!(following.is_in_category("new1.example").await);
}

#[tokio::test]
async fn slow_publishers_hold_up_no_other_list() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let counts = Arc::new(Mutex::new((0, 0)));
    let counting = counts.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counts = counting.clone();
            tokio::spawn(async move {
                {
                    let mut counts = counts.lock().unwrap();
                    counts.0 += 1;
                    counts.1 = counts.0.max(counts.1);
                }
                let mut head = vec![0; 1024];
                let count = stream.read(&mut head).await.unwrap();
                let number = String::from_utf8_lossy(&head[..count]).chars().nth(5).unwrap();
                sleep(Duration::from_secs(1)).await;
                counts.lock().unwrap().0 -= 1;
                let list = format!("slow{number}.example\n");
                let _ =
                    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len()).as_bytes()).await;
            });
        }
    });
    let urls: Vec<String> = (0..6).map(|number| format!("http://127.0.0.1:{port}/{number}")).collect();
    let following = Following::start(policy(&urls.join("', '"), "1 h", "")).await;
    let begun = Instant::now();
    for number in 0..6 {
        following.soon_in_category(&format!("slow{number}.example"), true).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "one after another they take six seconds, and more: {:?}", begun.elapsed());
    assert_eq!(counts.lock().unwrap().1, 2, "so many at once");
}

#[tokio::test]
async fn lists_that_no_policy_names_go_and_nothing_else_does() {
    let publisher = Publisher::default();
    publisher.list(&hosts("ads", 20));
    let url = format!("http://127.0.0.1:{}/", publisher.start(None).await);
    let first = Following::start(policy(&url, "1 h", "")).await;
    first.soon_in_category("ads1.example", true).await;
    let lists = first.folder.path().join("lists");
    let own: Vec<_> = fs::read_dir(&lists).unwrap().flatten().map(|file| file.path()).collect();
    let old = std::time::SystemTime::now() - Duration::from_secs(8 * 86_400);
    let make = |name: &str, at: std::time::SystemTime| {
        fs::write(lists.join(name), "x").unwrap();
        fs::File::options().write(true).open(lists.join(name)).unwrap().set_modified(at).unwrap();
    };
    for gone in ["0123456789abcdef.list", "0123456789abcdef.about", "1123456789abcdef.new", "2123456789abcdef.list"] {
        make(gone, old);
    }
    // Others' things, a list that was named a while ago, and one that another gateway names.
    let others = [
        "notes.txt",
        "0123456789abcdef.txt",
        "0123456789abcdeg.list",
        "123.list",
        "3123456789abcdef.list",
        "4123456789abcdef.list",
    ];
    others.iter().for_each(|name| make(name, old));
    make("3123456789abcdef.list", std::time::SystemTime::now() - Duration::from_secs(86_400));
    make("4123456789abcdef.about", std::time::SystemTime::now());
    for file in &own {
        fs::File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
    }
    let _second = Following::again(policy(&url, "30 d", ""), first.folder).await;
    let begun = Instant::now();
    while lists.join("2123456789abcdef.list").exists() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is still there");
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_millis(200)).await;
    for gone in ["0123456789abcdef.list", "0123456789abcdef.about", "1123456789abcdef.new"] {
        assert!(!lists.join(gone).exists(), "{gone}");
    }
    for stays in others {
        assert!(lists.join(stays).exists(), "{stays}");
    }
    assert!(own.len() == 2 && own.iter().all(|file| file.exists()), "what is named stays, old as it is: {own:?}");
}

fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("lists")).unwrap();
    for file in fs::read_dir(folder.join("lists")).unwrap().flatten() {
        let to = copy.path().join("lists").join(file.file_name());
        fs::copy(file.path(), &to).unwrap();
        // Long due.
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(100);
        fs::File::options().write(true).open(to).unwrap().set_modified(long_ago).unwrap();
    }
    copy
}

#[tokio::test]
async fn redirects_are_followed_and_what_is_coded_is_read() {
    use std::io::Write as _;
    let (publisher, moved) = (Publisher::default(), Publisher::default());
    let port = publisher.start(None).await;
    moved.says(format!("HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:{port}/new\r\nContent-Length: 0\r\n\r\n"));
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    coder.write_all(hosts("coded", 50).as_bytes()).unwrap();
    let coded = coder.finish().unwrap();
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", coded.len())
            .into_bytes();
    answer.extend(coded);
    answer.extend(b"\r\n0\r\n\r\n");
    publisher.says(answer);
    let following = Following::start(policy(&format!("http://127.0.0.1:{}/old", moved.start(None).await), "1 h", "")).await;
    following.soon_in_category("coded49.example", true).await;
    assert!(publisher.asked()[0].starts_with("GET /new "), "{:?}", publisher.asked());
}

#[tokio::test]
async fn without_its_publisher_the_last_list_is_in_force_from_the_start() {
    let publisher = Publisher::default();
    publisher.list(&hosts("ads", 20));
    let port = publisher.start(None).await;
    let url = format!("http://127.0.0.1:{port}/");
    let following = Following::start(policy(&url, "1 h", "")).await;
    following.soon_in_category("ads1.example", true).await;
    publisher.says("");
    let again = Following::again(policy(&url, "1 s", ""), copy_of(following.folder.path())).await;
    assert!(again.is_in_category("ads1.example").await, "at once");
    sleep(Duration::from_secs(3)).await;
    assert!(again.is_in_category("ads1.example").await);
}

#[tokio::test]
async fn a_private_publisher_is_not_asked_unless_the_policy_opens_its_network() {
    let publisher = Publisher::default();
    publisher.list(&hosts("ads", 20));
    let url = format!("http://127.0.0.1:{}/", publisher.start(None).await);
    let closed = policy(&url, "1 s", "").replace("open = ['127.0.0.0/8']\n", "");
    let following = Following::start(closed).await;
    sleep(Duration::from_secs(3)).await;
    assert!(!following.is_in_category("ads1.example").await && publisher.asked().is_empty());
}

#[test]
fn what_is_wrong_with_a_fetched_list_is_said() {
    let said = |text: &str| {
        let problems = Policy::parse(text, Path::new("/nowhere")).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let entry = |url: &str| format!("[[category]]\nname = 'ads'\nlevel = 'unsafe'\nurls = ['{url}']\n");
    assert!(said(&entry("https://lists.example/x")).contains("4:9: Lists that are fetched need a folder"));
    for url in ["ftp://x/y", "lists.example", "https://u:p@lists.example/", "https:///x", "https://x/a b"] {
        let said = said(&format!("[lists]\nfolder = 'x'\n{}", entry(url)));
        assert!(said.contains("the address of a list, like"), "{url}: {said}");
    }
    let text = format!("[lists]\nfolder = 'x'\n{}", entry("https://lists.example/x?key=open-sesame#part"));
    let policy = Policy::parse(&text, Path::new("/nowhere")).unwrap();
    let summary = policy.summary().to_string();
    assert!(summary.contains("https://lists.example/x was not fetched yet") && !summary.contains("sesame"), "{summary}");
}

/// Not a test: a gateway in a process of its own, which trusts the certificates that it is told to.
#[test]
#[ignore = "runs in a process of its own, started by another test"]
fn the_gateway_that_fetches() {
    let Ok(text) = std::env::var("GATEWAY_THAT_FETCHES") else { return };
    let base = std::env::var("GATEWAY_BASE").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let gateway = Gateway::start(Policy::parse(&text, Path::new(&base)).unwrap(), None).await.unwrap();
        tokio::time::timeout(Duration::from_secs(8), gateway.lists_changed()).await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_the_publisher_has_to_be_who_it_says() {
    let names = vec!["localhost".to_string()];
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let publisher = Publisher::default();
    publisher.list(&hosts("ads", 20));
    let port = publisher.start(Some(TlsAcceptor::from(Arc::new(config)))).await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    fs::write(&trusted, cert.pem()).unwrap();
    let text = policy(&format!("https://localhost:{port}/"), "1 h", "").replace("'127.0.0.0/8'", "'127.0.0.0/8', '::1'");
    let run = async |trusted: Option<&Path>| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "lists::the_gateway_that_fetches", "--ignored"]);
        command.env("GATEWAY_THAT_FETCHES", &text).env("GATEWAY_BASE", folder.path());
        if let Some(trusted) = trusted {
            command.env("SSL_CERT_FILE", trusted);
        }
        tokio::task::spawn_blocking(move || command.output().unwrap().status.success()).await.unwrap()
    };
    assert!(!run(None).await, "nobody vouches for it");
    assert!(publisher.asked().is_empty());
    assert!(run(Some(&trusted)).await);
    assert_eq!(publisher.asked().len(), 1);
    assert_eq!(kept(folder.path()), hosts("ads", 20));
}
