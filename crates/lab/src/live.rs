//! A page served to this machine while a sweep runs. Only the loopback address is bound, and only
//! requests that name it are answered, so that no other site's page can read it through a name of
//! its own.

use crate::evidence;
use crate::report::{Extras, Run, render_with};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    #[error("port {port} of 127.0.0.1 is in use: name another, or write --live without one for any that is free")]
    InUse { port: u16 },
    #[error("127.0.0.1:{port}: {source}")]
    Io { port: u16, source: std::io::Error },
}

#[derive(Default)]
struct Page {
    html: String,
    version: usize,
    /// When a reader last asked for anything, and the newest version that one was given.
    asked: Option<Instant>,
    taken: usize,
}

/// A page and who serves it. The server ends with the process.
pub struct Live {
    address: SocketAddr,
    page: Arc<RwLock<Page>>,
    made: Option<Instant>,
    cost: Duration,
}

/// Pages are no more often made than this, and take at most one part in `SHARE` of the time.
const PAUSE: Duration = Duration::from_secs(2);
const SHARE: u32 = 20;
/// How often an open page asks whether there is a newer one (`report.js`).
const ASKS: Duration = Duration::from_secs(2);
/// Longest that a request or an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections at once, and bytes of a request's head.
const CONNECTIONS: usize = 32;
const HEAD: u64 = 8192;

impl Live {
    /// Binds a port of the loopback address, 0 for any that is free, and serves a page without
    /// runs, which looks for the next.
    pub fn start(port: u16) -> Result<Live, LiveError> {
        let fail = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => LiveError::InUse { port },
            _ => LiveError::Io { port, source },
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let html = render_with(&[], Extras { live: true, ..Extras::default() });
        let page = Arc::new(RwLock::new(Page { html, ..Page::default() }));
        let (served, open) = (page.clone(), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if open.load(Ordering::Relaxed) >= CONNECTIONS {
                    continue;
                }
                open.fetch_add(1, Ordering::Relaxed);
                let (served, open) = (served.clone(), open.clone());
                std::thread::spawn(move || {
                    // A reader that went away is no failure of the sweep.
                    let _ = answer(stream, &served, address.port());
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Ok(Live { address, page, made: None, cost: Duration::ZERO })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Makes the page of a run folder again, where it is time. Called between measurements: on the
    /// CPU a page made beside one would be measured with it.
    pub fn refresh(&mut self, folder: &Path) {
        if self.made.is_some_and(|at| at.elapsed() < PAUSE.max(self.cost * SHARE)) {
            return;
        }
        let start = Instant::now();
        self.make(folder, true);
        (self.cost, self.made) = (start.elapsed(), Some(Instant::now()));
    }

    /// Makes the last page, which looks for no other, and stays until an open page has it.
    pub fn finish(self, folder: &Path) {
        self.make(folder, false);
        if !self.awaited() {
            return;
        }
        let given_up = Instant::now() + 2 * ASKS;
        while self.awaited() && Instant::now() < given_up {
            std::thread::sleep(Duration::from_millis(20));
        }
        // The answer that took it is under way.
        std::thread::sleep(Duration::from_millis(100));
    }

    /// Whether one who asked lately has not got the newest page.
    fn awaited(&self) -> bool {
        let page = self.page.read().unwrap_or_else(PoisonError::into_inner);
        page.taken < page.version && page.asked.is_some_and(|at| at.elapsed() < 2 * ASKS)
    }

    fn make(&self, folder: &Path, live: bool) {
        // The file is being added to by this process: half a line cannot be there.
        if let Ok(contents) = evidence::read(folder) {
            let name =
                folder.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned());
            let run = Run { name, records: contents.records };
            self.show(render_with(&[run], Extras { live, ..Extras::default() }));
        }
    }

    /// Serves this page from now on.
    pub fn show(&self, html: String) {
        let mut page = self.page.write().unwrap_or_else(PoisonError::into_inner);
        if page.html != html {
            (page.html, page.version) = (html, page.version + 1);
        }
    }
}

fn answer(mut stream: TcpStream, page: &RwLock<Page>, port: u16) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    for line in BufReader::new((&stream).take(HEAD)).lines().map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let (status, kind, body) = respond(&head, page, port);
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body.as_bytes())?;
    stream.flush()
}

/// Status, content type and body for a request's head.
fn respond(head: &[String], page: &RwLock<Page>, port: u16) -> (&'static str, &'static str, String) {
    let plain = |status, text: &str| (status, "text/plain", text.to_string());
    let mut words = head.first().map_or("", String::as_str).split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return plain("400 Bad Request", "not a request\n");
    };
    let header = |line: &String| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("host").then(|| value.trim().to_ascii_lowercase())
    };
    let own = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    if !head.iter().skip(1).find_map(header).is_some_and(|host| own.contains(&host)) {
        return plain("403 Forbidden", "only for this machine\n");
    }
    if method != "GET" {
        return plain("405 Method Not Allowed", "GET only\n");
    }
    let mut page = page.write().unwrap_or_else(PoisonError::into_inner);
    page.asked = Some(Instant::now());
    match path {
        "/" => {
            page.taken = page.version;
            ("200 OK", "text/html", page.html.clone())
        }
        "/version" => ("200 OK", "text/plain", page.version.to_string()),
        _ => plain("404 Not Found", "there is only /\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(live: &Live, head: &str) -> String {
        let mut stream = TcpStream::connect(live.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn get(live: &Live, path: &str) -> String {
        ask(live, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", live.address.port()))
    }

    #[test]
    fn the_page_is_served_and_its_version_tells_a_new_one() {
        let live = Live::start(0).unwrap();
        assert!(live.address.ip().is_loopback() && live.url().starts_with("http://127.0.0.1:"));
        live.show("<p>one".to_string());
        assert!(get(&live, "/").ends_with("\r\n\r\n<p>one"));
        let before = get(&live, "/version");
        live.show("<p>one".to_string());
        assert_eq!(get(&live, "/version"), before, "the same page is no new one");
        live.show("<p>two".to_string());
        assert_ne!(get(&live, "/version"), before);
        assert!(get(&live, "/etc/passwd").starts_with("HTTP/1.1 404"));
    }

    /// The address is printed for people and programs alike: who comes at once must get a page
    /// that goes on, not a placeholder that stays.
    #[test]
    fn the_first_page_looks_for_the_next() {
        let live = Live::start(0).unwrap();
        assert!(get(&live, "/").contains("data-live"));
    }

    #[test]
    fn the_last_page_waits_for_one_who_asks_and_for_nobody_else() {
        let nowhere = Path::new("no such folder");
        let start = Instant::now();
        Live::start(0).unwrap().finish(nowhere);
        assert!(start.elapsed() < ASKS, "nobody asked");
        let live = Live::start(0).unwrap();
        get(&live, "/version");
        live.show("<p>last".to_string());
        let address = live.address;
        let reader = std::thread::spawn(move || {
            std::thread::sleep(ASKS / 2);
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        let start = Instant::now();
        live.finish(nowhere);
        assert!(start.elapsed() >= ASKS / 4, "one was waiting");
        assert!(reader.join().unwrap().ends_with("<p>last"));
    }

    #[test]
    fn other_names_and_methods_are_refused() {
        let live = Live::start(0).unwrap();
        let port = live.address.port();
        assert!(ask(&live, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").starts_with("HTTP/1.1 403"));
        assert!(ask(&live, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 403"));
        let post = format!("POST / HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n");
        assert!(ask(&live, &post).starts_with("HTTP/1.1 405"));
        assert!(ask(&live, "\r\n").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn an_occupied_port_is_named() {
        let first = Live::start(0).unwrap();
        let error = Live::start(first.address.port()).err().unwrap().to_string();
        assert!(error.contains(&first.address.port().to_string()) && error.contains("in use"), "{error}");
    }

    #[test]
    fn one_who_says_nothing_holds_up_nobody() {
        let live = Live::start(0).unwrap();
        let _silent: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(live.address).unwrap()).collect();
        let start = Instant::now();
        assert!(get(&live, "/").starts_with("HTTP/1.1 200"));
        assert!(start.elapsed() < PATIENCE);
    }

    proptest! {
        #[test]
        fn any_head_is_answered(head in prop::collection::vec(".{0,40}", 0..4)) {
            let page = RwLock::new(Page::default());
            let (status, _, _) = respond(&head, &page, 1);
            prop_assert!(status.starts_with('4'));
        }
    }
}
