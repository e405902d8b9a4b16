//! Configuration: layers, ranges, senders, and what is said about mistakes.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;
use wardline_ehr::config::{Config, ConfigError, Setting, keys, sender_keys};
use wardline_ehr::hl7::ack::Answering;

const HIS: &str = "[senders.his]\nlisten = \"127.0.0.1:2575\"\n";

fn load(text: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<Config, ConfigError> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let set: Vec<_> = set.iter().map(|text| Setting((*text).to_owned())).collect();
    Config::default().layered(Some(file.path()), environment, &set)
}

fn error(text: &str, environment: &[(&str, &str)], set: &[&str]) -> String {
    load(text, environment, set).unwrap_err().to_string()
}

fn reference() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wardline-ehr.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn reference_file_equals_the_defaults_and_has_every_key() {
    let (path, text) = reference();
    let read = Config::default().layered(Some(&path), [], &[]).unwrap();
    assert_eq!(read, Config::default());
    let table: toml::Table = text.parse().unwrap();
    let written: BTreeSet<String> = table
        .iter()
        .flat_map(|(section, keys)| {
            keys.as_table().unwrap().keys().map(move |key| format!("{section}.{key}"))
        })
        .collect();
    assert_eq!(written, keys().map(str::to_owned).collect());
}

/// The section of a sender, as it stands in comments.
fn sender_in_comments() -> toml::Table {
    let (_, text) = reference();
    let lines = text.lines().skip_while(|line| !line.starts_with("# [senders.his]"));
    let section = lines.take_while(|line| line.starts_with('#'));
    let text: String = section
        .map(|line| line.trim_start_matches('#').trim_start())
        .map(|line| format!("{line}\n"))
        .collect();
    // What goes on from the line before is no line of its own.
    let text: String = text
        .lines()
        .filter(|line| line.starts_with(['[', '"']) || line.contains(" = "))
        .fold(String::new(), |text, line| text + line + "\n");
    text.parse::<toml::Table>().unwrap()["senders"]["his"].as_table().unwrap().clone()
}

#[test]
fn the_sender_in_comments_has_every_key_with_its_default() {
    let sender = sender_in_comments();
    let tables = ["authorities", "wards"];
    let written: BTreeSet<&str> =
        sender.keys().map(String::as_str).filter(|key| !tables.contains(key)).collect();
    assert_eq!(written, sender_keys().collect());
    // Of those that are said by example, nothing is the default.
    let by_example = ["listen", "certificate", "key", "ca"];
    let mut text = HIS.to_owned();
    for (key, value) in
        sender.iter().filter(|(key, value)| !by_example.contains(&key.as_str()) && !value.is_table())
    {
        text += &format!("{key} = {value}\n");
    }
    assert_eq!(load(&text, &[], &[]).unwrap(), load(HIS, &[], &[]).unwrap());
    for table in tables {
        assert!(sender[table].is_table(), "{table}");
    }
}

#[test]
fn every_key_takes_effect() {
    let (_, text) = reference();
    let table: toml::Table = text.parse().unwrap();
    for name in keys() {
        let (section, key) = name.split_once('.').unwrap();
        let other = match &table[section][key] {
            toml::Value::Integer(n) => (n + 1).to_string(),
            // The pages need a certificate then.
            toml::Value::Boolean(_) => continue,
            value => match value.as_str().unwrap() {
                "" if key == "address" => "broker.example:4433".into(),
                "" if key == "device" => "00112233445566778899aabbccddeeff".into(),
                "" => "other".into(),
                text if text.contains(':') => "127.0.0.2:1".into(),
                text if text.ends_with("iB") => "1MiB".into(),
                "info" => "warn".into(),
                _ => "31s".into(),
            },
        };
        let changed = load("", &[], &[&format!("{name}={other}")]).unwrap();
        assert_ne!(changed, Config::default(), "{name} = {other} changes nothing");
        let variable = format!("WARDLINE_EHR_{}", name.replace('.', "_").to_uppercase());
        assert_eq!(load("", &[(&variable, &other)], &[]).unwrap(), changed, "{variable}");
    }
    let pages = ["http.remote=true", "http.certificate=c", "http.key=k", "http.listen=0.0.0.0:1"];
    assert!(load("", &[], &pages).unwrap().http_remote);
}

#[test]
fn every_key_of_a_sender_takes_effect() {
    let plain = load(HIS, &[], &[]).unwrap();
    for (key, other) in [
        ("listen", "127.0.0.1:1"),
        ("clear", "true"),
        ("acknowledge", "enhanced"),
        ("refuse_others", "true"),
        ("tests", "true"),
        ("charset", "8859/1"),
        ("zone", "Europe/Berlin"),
        ("ahead", "5m"),
        ("message", "2MiB"),
        ("authority", "GH"),
        ("update_moves", "true"),
        ("labels", "false"),
        ("authorities.GH", "urn:oid:1.2.3"),
        ("wards.S/W.2", "surgery-2"),
    ] {
        let changed = load(HIS, &[], &[&format!("senders.his.{key}={other}")]).unwrap();
        assert_ne!(changed, plain, "{key}");
    }
    let tls =
        load(HIS, &[], &["senders.his.certificate=c", "senders.his.key=k", "senders.his.ca=a"]).unwrap();
    let his = &tls.senders["his"];
    assert_eq!([&his.certificate, &his.key, &his.ca].map(|path| path.to_str().unwrap()), ["c", "k", "a"]);
}

#[test]
fn later_layers_win() {
    let file = format!(
        "{HIS}[limits]\napply = \"30s\"\nwrite = \"30s\"\nidle = \"2h\"\n[senders.lab]\nlisten = \"[::1]:2576\"\nacknowledge = \"original\"\n[senders.lab.wards]\n\"W.2\" = \"w2\"\n"
    );
    let environment = [("WARDLINE_EHR_LIMITS_APPLY", "40s"), ("WARDLINE_EHR_LIMITS_WRITE", "40s")];
    let config =
        load(&file, &environment, &["limits.write=50s", "senders.his.acknowledge=enhanced"]).unwrap();
    let seconds = |time: Duration| time.as_secs();
    let limits = config.limits;
    assert_eq!((seconds(limits.apply), seconds(limits.write), seconds(limits.idle)), (40, 50, 7200));
    assert_eq!(config.senders["his"].acknowledge, Answering::Enhanced);
    assert_eq!(config.senders["lab"].acknowledge, Answering::Original);
    assert_eq!(config.senders["lab"].wards["W.2"], "w2");
}

#[test]
fn what_is_not_known_is_refused_with_a_proposal() {
    for (text, set, says) in [
        ("[limits]\naply = \"1s\"\n", "", "unknown key limits.aply; the nearest known key is limits.apply"),
        (
            "[senders.his]\nlissten = \"x\"\n",
            "",
            "unknown key senders.his.lissten; the nearest known key is senders.his.listen",
        ),
        ("[sender.his]\nlisten = \"127.0.0.1:1\"\n", "", "the nearest known key is senders.NAME.listen"),
        ("[token]\nfiel = \"x\"\n", "", "the nearest known key is token.file"),
        ("[typo]\n", "", "unknown key typo"),
        ("", "http.listn=x", "--set: unknown key http.listn; the nearest known key is http.listen"),
        ("", "http.listen", "is not of the form section.key=value"),
        ("x", "", "not valid TOML"),
    ] {
        let set: Vec<&str> = Some(set).filter(|set| !set.is_empty()).into_iter().collect();
        let told = error(text, &[], &set);
        assert!(told.contains(says), "{told} does not say {says}");
    }
    let told = error("", &[("WARDLINE_EHR_LIMITS_APLY", "1s")], &[]);
    assert!(
        told.contains("WARDLINE_EHR_LIMITS_APLY; the nearest known key is WARDLINE_EHR_LIMITS_APPLY"),
        "{told}"
    );
    // What is somebody else's is passed over.
    let others = [
        ("WARDLINE_LIMITS_PAYLOAD", "1KiB"),
        ("WARDLINE_EHR_LOG", "debug"),
        ("WARDLINE_EHR_PORT", "tcp://10.0.0.1:1"),
    ];
    assert_eq!(load("", &others, &[]).unwrap(), Config::default());
}

#[test]
fn values_out_of_range_are_refused_with_what_is_allowed() {
    for (set, says) in [
        ("limits.apply=0s", "from 1s to 10m"),
        ("limits.under_way=0", "a whole number from 1 to 1024"),
        ("limits.large_bytes=1B", "from 64 KiB to 64 GiB"),
        ("broker.address=nowhere", "a name or an IP address, and a port"),
        ("broker.device=12", "32 hexadecimal digits"),
        ("log.filter=loud", "levels in quotes"),
        ("senders.his.acknowledge=loud", "\"asked\", \"original\" or \"enhanced\""),
        ("senders.his.charset=UTF-16", "a character set of MSH-18"),
        ("senders.his.zone=Nowhere", "the name of a time zone"),
        ("senders.his.message=64MiB", "from 16 KiB to 16 MiB"),
        ("senders.His.tests=true", "of a sender whose name has"),
        ("senders.his.wards.=x", "a word in quotes for a word"),
        ("senders.his.listen=2575", "an IP address and a port"),
    ] {
        let told = error(HIS, &[], &[set]);
        assert!(told.contains("is not allowed") && told.contains(says), "{told} does not say {says}");
    }
    // Of a file, the type must be right.
    assert!(error("[limits]\napply = 20\n", &[], &[]).contains(":2: limits.apply = 20 is not allowed"));
}

#[test]
fn what_goes_together_is_checked() {
    for (text, set, says) in [
        ("[senders.his]\ntests = true\n", vec![], "[senders.his]: listen is not set"),
        (HIS, vec!["senders.his.certificate=c"], "certificate and key go together"),
        (HIS, vec!["senders.his.ca=c"], "ca needs certificate and key"),
        (HIS, vec!["senders.his.listen=0.0.0.0:2575"], "in the clear"),
        (HIS, vec!["senders.lab.listen=127.0.0.1:2575"], "its address is that of another sender"),
        ("", vec!["token.file=f", "token.endpoint=e"], "token.file and token.endpoint are both set"),
        ("", vec!["http.listen=0.0.0.0:1"], "http.remote = true"),
        ("", vec!["http.remote=true"], "http.certificate is not set"),
    ] {
        let told = error(text, &[], &set);
        assert!(told.contains(says), "{told} does not say {says}");
    }
    load(HIS, &[], &["senders.his.listen=0.0.0.0:2575", "senders.his.clear=true"]).unwrap();
}

#[test]
fn what_has_no_default_must_be_set() {
    let mut set = Vec::new();
    for (key, setting) in [
        ("broker.address", "broker.address=127.0.0.1:4433"),
        ("broker.ca", "broker.ca=ca.pem"),
        ("token.file", "token.file=token"),
        ("senders", "senders.his.listen=127.0.0.1:0"),
    ] {
        let told = load("", &[], &set).unwrap().require_keys().unwrap_err().to_string();
        assert!(told.starts_with(&format!("{key} is not set")), "{told}");
        set.push(setting);
    }
    load("", &[], &set).unwrap().require_keys().unwrap();
    let by_endpoint = ["broker.address=a:1", "broker.ca=c", "token.endpoint=https://id.example/token"];
    let told = load(HIS, &[], &by_endpoint).unwrap().require_keys().unwrap_err().to_string();
    assert!(told.starts_with("token.client is not set"), "{told}");
}
