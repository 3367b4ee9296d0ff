//! Calls of scripts out of bytes.

use redis::{Connection, FromRedisValue};

const BASE: &str = "tf:{0}:";
const SESSION: &str = "5f0f0000-0000-4000-8000-000000000000";

/// The scripts with their keys and arguments, in the words of [`Maker::word`].
pub(super) const SCRIPTS: [(&str, &str, &str); 49] = [
    ("submit", "record queue", "base id submission"),
    ("submit", "record queue", "base id submission"),
    ("claim", "record queue", "base id entry worker ms count"),
    (
        "renew_lease",
        "record queue",
        "base id attempt worker entry ms",
    ),
    (
        "report_progress",
        "record",
        "base id attempt progress progress text",
    ),
    (
        "report_log",
        "record",
        "base id attempt level text level text",
    ),
    ("set_session_level", "session", "level"),
    ("hold_session_stream", "stream", "sender ms flag"),
    ("drop_session_stream", "stream", "sender"),
    ("ask_input", "record", "base id attempt key text key text"),
    ("park", "record queue", "base id attempt"),
    (
        "answer_input",
        "record queue",
        "base id owner key text session_or_none",
    ),
    (
        "deliver_input",
        "record",
        "base id owner key sender session_id ms count",
    ),
    ("recall_input", "record", "base id owner sender"),
    (
        "note_client_task",
        "record",
        "base id owner key session_id none text client_status text ms",
    ),
    (
        "note_client_task",
        "record",
        "base id owner key session_id count none client_status text ms_or_none",
    ),
    (
        "poll_client_task",
        "record",
        "base id owner key sender session_id ms ms",
    ),
    ("drop_client_tasks", "record", "base id owner session_id"),
    (
        "finish",
        "record queue",
        "base id attempt entry outcome message",
    ),
    (
        "schedule_retry",
        "record queue",
        "base id attempt entry count text outcome",
    ),
    (
        "release",
        "record queue",
        "base id attempt entry count message flag",
    ),
    ("cancel", "record", "base id owner_or_all text"),
    ("leave_call", "record", "base id owner id flag text"),
    ("watch", "record", "base id owner front_end"),
    ("promote", "record", "base id owner count"),
    ("forward", "due", "base queue_name ms"),
    (
        "register_tools",
        "tools queues",
        "channel queue_name tool text tool text",
    ),
    (
        "register_tools",
        "tools queues homes",
        "channel queue_name tool text tool text",
    ),
    ("give_homes", "homes", "tool queue_name"),
    ("take_place", "places", "sender ms count"),
    ("take_rate", "rate", "most most flag"),
    ("pause", "paused", "pausable worker text"),
    ("resume", "paused", "base pausable queue_name"),
    ("resume", "paused", "base pausable queue_name queue_name"),
    ("rotate_secret", "secret", "new_secret count"),
    ("reclaim", "queue", "worker ms ms"),
    ("begin_outside", "record", "base id attempt"),
    ("end_outside", "record outside", "id tool until"),
    ("take_outside", "outside", "base ms count tool"),
    (
        "requeue",
        "queue",
        "base queue_name from ms count ms ms worker",
    ),
    ("hold_housekeeping", "housekeeper", "worker ms count"),
    ("drop_housekeeping", "housekeeper", "worker"),
    ("dead_letter", "queue", "base no_entry text text text"),
    ("forget_worker", "queue", "worker"),
    ("revive", "record queue dead", "base id revival"),
    ("agree_version", "contract", "count count"),
    ("ensure_group", "queue", ""),
    (
        "beat",
        "worker_key workers definitions",
        "worker ms definitions_held",
    ),
    (
        "beat",
        "worker_key workers definitions",
        "worker ms definitions_held_still",
    ),
];

/// Takes what an input says off its front. What it does not say is 0.
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of so many.
    pub(super) fn number(&mut self, of: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(*first) % of
    }

    fn one<'b>(&mut self, of: &[&'b str]) -> &'b str {
        of.get(self.number(of.len())).copied().unwrap_or_default()
    }

    /// Any text, mostly short. The client library cannot read an error that repeats what is none.
    fn text(&mut self) -> Vec<u8> {
        let length = match self.number(64) {
            63 => 700,
            length => length % 16,
        };
        let (text, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned().into_bytes()
    }
}

/// A call of a script.
pub(super) struct Call {
    pub(super) script: &'static str,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) args: Vec<Vec<u8>>,
}

impl Call {
    /// One with any keys and arguments, and any number of them.
    pub(super) fn of_anything(
        bytes: &mut Bytes<'_>,
        scripts: impl Iterator<Item = &'static str>,
    ) -> Self {
        let all: Vec<&str> = scripts.collect();
        let script = all[bytes.number(all.len())];
        let keys = bytes.number(4);
        let args = bytes.number(16);
        let any = |count, bytes: &mut Bytes<'_>| -> Vec<Vec<u8>> {
            (0..count).map(|_| anything(bytes)).collect()
        };
        Self {
            script,
            keys: any(keys, bytes),
            args: any(args, bytes),
        }
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.script)?;
        for word in self.keys.iter().chain(&self.args) {
            write!(f, " {:?}", word.escape_ascii().to_string())?;
        }
        Ok(())
    }
}

/// A word that some script may take for what it wants.
fn anything(bytes: &mut Bytes<'_>) -> Vec<u8> {
    match bytes.number(4) {
        0 => any_key(bytes).into_bytes(),
        1 => bytes
            .one(&[
                "0",
                "1",
                "-1",
                "1e3",
                "nan",
                "inf",
                "9007199254740993",
                "",
                BASE,
                "t1",
                "queued",
                "{}",
                "1-1",
                "*",
            ])
            .as_bytes()
            .to_vec(),
        _ => bytes.text(),
    }
}

pub(super) fn any_script(bytes: &mut Bytes<'_>) -> &'static str {
    let (name, ..) = SCRIPTS[bytes.number(SCRIPTS.len())];
    name
}

/// A key that the scripts use.
pub(super) fn any_key(bytes: &mut Bytes<'_>) -> String {
    let name = bytes.one(&[
        "task:t1",
        "queue:q",
        "due:q",
        "waiting:q",
        "waiting:q:slow",
        "waiting:q:fast",
        "paused",
        "running:q:slow",
        "begun:q:fast",
        "booked:q:fast",
        "ready:q:fast:o",
        "line:q:fast:o",
        "lines:q",
        "backlog:q",
        "outside:q",
        "active:o",
        "owned:o",
        "dead",
        "expired",
        "log:t1",
        "stored:o",
        "bytes:o",
        "idem:k",
        "same:k",
    ]);
    format!("{BASE}{name}")
}

/// Makes a call as the typed ones make it, of a job as it stands.
pub(super) struct Maker<'a, 'b> {
    bytes: &'a mut Bytes<'b>,
    redis: &'a mut Connection,
    id: &'static str,
    /// Where it is as it should be, rather than as it was, or never was.
    is_current: bool,
    /// Whether nothing may expire between two calls.
    all_lasts: bool,
}

impl<'a, 'b> Maker<'a, 'b> {
    pub(super) fn new(
        bytes: &'a mut Bytes<'b>,
        redis: &'a mut Connection,
        all_lasts: bool,
    ) -> Self {
        let id = bytes.one(&["t1", "t1", "t2", "t3"]);
        let is_current = bytes.number(4) != 0;
        Self {
            bytes,
            redis,
            id,
            is_current,
            all_lasts,
        }
    }

    pub(super) fn make(mut self, name: &'static str) -> Call {
        let rows: Vec<_> = SCRIPTS
            .iter()
            .filter(|(script, ..)| *script == name)
            .collect();
        let (script, keys, args) = rows[self.bytes.number(rows.len())];
        if *script == "claim" {
            self.deliver();
        }
        let mut words = |row: &str| -> Vec<Vec<u8>> {
            row.split_whitespace()
                .flat_map(|word| self.word(word))
                .collect()
        };
        Call {
            script,
            keys: words(keys),
            args: words(args),
        }
    }

    fn word(&mut self, word: &str) -> Vec<Vec<u8>> {
        let one = |text: &str| vec![text.as_bytes().to_vec()];
        let key = |name: &str| one(&format!("{BASE}{name}"));
        match word {
            "record" => key(&format!("task:{}", self.id)),
            "queue" => key("queue:q"),
            "due" => key("due:q"),
            "outside" => key("outside:q"),
            "dead" => key("dead"),
            "paused" => key("paused"),
            "housekeeper" => key("housekeeper"),
            "base" => one(BASE),
            "id" => one(self.id),
            "session" => one(&format!("tf:{{s:{SESSION}}}:session")),
            "stream" => one(&format!("tf:{{s:{SESSION}}}:session:stream")),
            "worker_key" => one("tf:{fleet}:worker:w1"),
            "tools" => one("tf:{fleet}:tools:q"),
            "channel" => one("tf:{fleet}:tools:changed"),
            "places" => one("tf:{o:o}:sessions"),
            "rate" => one("tf:{o:o}:rate"),
            "secret" => one("tf:{fleet}:secret"),
            "queue_name" => one("q"),
            "workers" | "definitions" | "queues" | "homes" => one(&format!("tf:{{fleet}}:{word}")),
            "contract" => one("tf:contract"),
            "none" => one(""),
            "from" => one("-"),
            "text" | "message" => vec![self.bytes.text()],
            "submission" => self.submission(),
            "revival" => self.revival(),
            "outcome" => self.outcome(),
            "definitions_held" => ["1", "t:d", "field", "value"]
                .map(|text| text.into())
                .to_vec(),
            "definitions_held_still" => ["1", "t:d"].map(|text| text.into()).to_vec(),
            "entry" | "attempt" => one(&self.current(word)),
            _ => one(self.choice(word)),
        }
    }

    fn choice(&mut self, word: &str) -> &'static str {
        let of: &[&str] = match word {
            "owner" => &["", "o"],
            "owner_or_all" => &["", "o", "*"],
            "worker" => &["w1", "w1", "w2"],
            "front_end" => &["f1", "f2"],
            "sender" => &["f1:00000001", "f2:00000002"],
            "session_id" => &[SESSION, "5f0f0000-0000-4000-8000-000000000001"],
            "session_or_none" => &["", "", SESSION],
            "key" => &["k", "k", "l"],
            "flag" => &["0", "1"],
            "until" => &["", "", "1"],
            "level" => &["debug", "info", "error"],
            "tool" => &["fast", "slow"],
            "pausable" => &["queue:q", "tool:fast", "tool:slow"],
            "new_secret" => &["00ff", "ff00"],
            "most" => &["1", "50", "1000"],
            "progress" => &["", "1", "0.5", "1e300"],
            "client_status" => &["working", "input_required", "completed", "failed"],
            "ms" | "ttl" | "keep" if self.all_lasts => &["60000"],
            "ttl" => &["60000", "60000", "1", "31536000000"],
            "keep" => &["0", "1", "60000"],
            "ms" => &["60000", "1", "15000", "31536000000"],
            "ms_or_none" => &["", "60000", "1"],
            "no_entry" => &["9-9", "0-1"],
            _ => &["0", "1", "2", "1000", "31536000000"],
        };
        self.bytes.one(of)
    }

    /// What the record says, or something else.
    fn current(&mut self, field: &str) -> String {
        let stored: Option<String> = self.ask(&["HGET", &format!("{BASE}task:{}", self.id), field]);
        match stored {
            Some(stored) if self.is_current && !stored.is_empty() => stored,
            _ if field == "entry" => self.bytes.one(&["9-9", "0-1"]).to_owned(),
            _ => self.bytes.one(&["0", "1", "2"]).to_owned(),
        }
    }

    /// Has a worker read from the stream, as one does before it claims.
    fn deliver(&mut self) {
        let queue = format!("{BASE}queue:q");
        let mut group = redis::cmd("XGROUP");
        group
            .arg("CREATE")
            .arg(&queue)
            .arg("workers")
            .arg("0")
            .arg("MKSTREAM");
        // It may be there, or no stream.
        let _ = group.query::<()>(self.redis);
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP")
            .arg("workers")
            .arg("w1")
            .arg("COUNT")
            .arg(1)
            .arg("STREAMS")
            .arg(&queue)
            .arg(">");
        let _ = read.query::<redis::Value>(self.redis);
    }

    /// tool, queue name, owner, alias, call, plain, ttl, caps, parked, and fields that go together.
    fn submission(&mut self) -> Vec<Vec<u8>> {
        let tool = self.bytes.one(&["fast", "slow"]);
        let owner = self.choice("owner");
        let (alias, call) =
            [("", ""), ("idem:k", "c"), ("idem:k", "d"), ("same:k", "")][self.bytes.number(4)];
        let plain = self.choice("flag");
        let ttl = self.choice("ttl");
        let caps = [["0", "0", "1"], ["0", "0", "2"], ["0", "0", "100"]];
        let caps = caps.map(|of| self.bytes.one(&of));
        let is_parked = self.bytes.number(4) == 0;
        let parked = if is_parked { "1" } else { "0" };
        let mut words: Vec<Vec<u8>> = [
            tool, "q", owner, alias, call, plain, ttl, caps[0], caps[1], caps[2], parked,
        ]
        .map(|text| text.into())
        .to_vec();
        words.extend(self.fields(tool));
        if is_parked {
            words.extend([b"ask:k".to_vec(), self.bytes.text()]);
            words.extend(["asked", "1", "open", "1"].map(Into::into));
        }
        words
    }

    /// What a record says of its tool, and what came with the call.
    fn fields(&mut self, tool: &str) -> Vec<Vec<u8>> {
        let mut words = vec![b"arguments".to_vec(), self.bytes.text()];
        if self.all_lasts && self.bytes.number(32) == 31 {
            // More than one command of a script takes.
            words
                .extend((0..4000).flat_map(|key| [format!("answer:{key}").into(), b"{}".to_vec()]));
        }
        let attempts = self.bytes.one(&["1", "2", "3"]);
        let keep = self.choice("keep");
        words.extend(
            [
                "max_attempts",
                attempts,
                "max_crashes",
                attempts,
                "keep_ms",
                keep,
                "timeout_ms",
                "1000",
            ]
            .map(Into::into),
        );
        if tool == "slow" {
            words.extend(["limit", "1"].map(Into::into));
        }
        words.extend([
            b"share".to_vec(),
            self.bytes.one(&["1", "1", "2", "0", "nan"]).into(),
        ]);
        words.extend([b"progress_token".to_vec(), self.bytes.text()]);
        words.extend([b"waiters".to_vec(), self.bytes.one(&["f1", "f1,f2"]).into()]);
        let rate = self.bytes.one(&["", "2/60000", "2/60000 refuse", "x"]);
        if !rate.is_empty() {
            words.extend(["rate", rate].map(Into::into));
        }
        words
    }

    /// tool, queue name, owner, letter, ttl, and fields.
    fn revival(&mut self) -> Vec<Vec<u8>> {
        let letters: Vec<(String, redis::Value)> =
            self.ask(&["XREVRANGE", &format!("{BASE}dead"), "+", "-", "COUNT", "1"]);
        let letter = letters.first().map_or("9-9", |(entry, _)| entry).to_owned();
        let owner = self.choice("owner");
        let mut words: Vec<Vec<u8>> = ["fast", "q", owner, &letter, "60000"]
            .map(Into::into)
            .to_vec();
        words.extend(self.fields("fast"));
        words
    }

    /// status, field, payload, whether it is an error.
    fn outcome(&mut self) -> Vec<Vec<u8>> {
        let (status, field) = [
            ("completed", "result"),
            ("failed", "error"),
            ("cancelled", ""),
        ][self.bytes.number(3)];
        let payload = if field.is_empty() {
            Vec::new()
        } else {
            self.bytes.text()
        };
        vec![
            status.into(),
            field.into(),
            payload,
            self.choice("flag").into(),
        ]
    }

    /// What the server has, or nothing if the key is of another type.
    fn ask<T: FromRedisValue + Default>(&mut self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query(self.redis).unwrap_or_default()
    }
}
