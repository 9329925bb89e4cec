//! labels/groups.toml → groups, their names, and the cues of ambiguous names.

use crate::error::{Error, Place, Result, nearest};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A group, as the file has it.
pub(super) struct Group {
    pub id: String,
    pub name: String,
    pub kind: String,
    pub parent: Option<String>,
    pub names: Vec<Name>,
}

/// A name of a group; with an index into the conditions if it means other things as well.
pub(super) struct Name {
    pub words: String,
    pub condition: Option<usize>,
}

/// When an ambiguous name means its group.
pub(super) struct Condition {
    /// Only in texts of these languages; all if empty.
    pub languages: Vec<String>,
    /// Indices of cues of which one must stand in the window; none needed if empty.
    pub cues: Vec<usize>,
    /// Indices of cues of which none may stand in the window.
    pub not_cues: Vec<usize>,
    pub window: Window,
}

/// Where cues are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Window {
    Sentence,
    Article,
}

/// The whole file, checked.
pub(super) struct GroupsFile {
    pub groups: Vec<Group>,
    pub conditions: Vec<Condition>,
    /// Words, a trailing `*` for any ending; each once.
    pub cues: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    version: u32,
    /// Lists of cues with a name, used as "@name".
    #[serde(default)]
    cues: BTreeMap<String, Vec<String>>,
    group: Vec<RawGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    id: String,
    name: String,
    kind: String,
    parent: Option<String>,
    #[serde(default)]
    aliases: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    ambiguous: Vec<RawAmbiguous>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAmbiguous {
    alias: String,
    #[serde(default)]
    languages: Vec<String>,
    #[serde(default)]
    cue: Vec<String>,
    #[serde(default)]
    not_cue: Vec<String>,
    window: Window,
}

/// Parses and checks the file.
pub(super) fn parse(text: &str, path: &Path) -> Result<GroupsFile> {
    let raw: RawFile = toml::from_str(text).map_err(|e| {
        let line = e.span().map(|s| 1 + text[..s.start].matches('\n').count() as u64);
        let place = Place { path: path.into(), line, offset: None };
        Error::bad(place, e.message().to_string(), "groups: version, [cues] and [[group]] tables")
    })?;
    let bad = |found: String, expected: &str| Error::bad(Place::file(path), found, expected);
    if raw.version != 1 {
        return Err(bad(format!("version = {}", raw.version), "version = 1"));
    }
    check_ids(&raw.group, path)?;
    let mut groups = Vec::new();
    let mut conditions = Vec::new();
    let mut cues = Cues { named: &raw.cues, index: HashMap::new(), words: Vec::new(), path };
    for group in &raw.group {
        let mut names = Vec::new();
        for alias in group.aliases.values().flatten() {
            names.extend(expanded(alias).into_iter().map(|words| Name { words, condition: None }));
        }
        for ambiguous in &group.ambiguous {
            if ambiguous.cue.is_empty() && ambiguous.not_cue.is_empty() && ambiguous.languages.is_empty() {
                return Err(bad(
                    format!("\"{}\" of {} without a cue", ambiguous.alias, group.id),
                    "cue, not_cue or languages",
                ));
            }
            let condition = Some(conditions.len());
            conditions.push(Condition {
                languages: ambiguous.languages.clone(),
                cues: cues.indices(&ambiguous.cue)?,
                not_cues: cues.indices(&ambiguous.not_cue)?,
                window: ambiguous.window,
            });
            names.extend(expanded(&ambiguous.alias).into_iter().map(|words| Name { words, condition }));
        }
        groups.push(Group {
            id: group.id.clone(),
            name: group.name.clone(),
            kind: group.kind.clone(),
            parent: group.parent.clone(),
            names,
        });
    }
    Ok(GroupsFile { groups, conditions, cues: cues.words })
}

fn check_ids(groups: &[RawGroup], path: &Path) -> Result<()> {
    let parents: HashMap<&str, Option<&str>> = groups.iter().map(|g| (g.id.as_str(), g.parent.as_deref())).collect();
    let bad = |found: String, expected: &str| Error::bad(Place::file(path), found, expected);
    if parents.len() < groups.len() {
        let twice = groups.iter().find(|g| groups.iter().filter(|other| other.id == g.id).count() > 1);
        return Err(bad(format!("two groups with the id \"{}\"", twice.map_or("", |g| &g.id)), "each id once"));
    }
    for group in groups {
        // A chain longer than all groups together goes in a circle.
        let mut at = group.id.as_str();
        for step in 0.. {
            let Some(parent) = parents[at] else { break };
            if !parents.contains_key(parent) {
                let error = bad(format!("parent \"{parent}\" of {at} is not there"), "the id of a group");
                return Err(match nearest(parent, parents.keys().copied()) {
                    Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                    None => error,
                });
            }
            if step > groups.len() {
                return Err(bad(format!("{} is its own ancestor", group.id), "parents that end"));
            }
            at = parent;
        }
    }
    Ok(())
}

struct Cues<'f> {
    named: &'f BTreeMap<String, Vec<String>>,
    index: HashMap<String, usize>,
    words: Vec<String>,
    path: &'f Path,
}

impl Cues<'_> {
    fn indices(&mut self, cues: &[String]) -> Result<Vec<usize>> {
        let mut indices = Vec::new();
        for cue in cues {
            let Some(name) = cue.strip_prefix('@') else {
                indices.extend(expanded(cue).into_iter().map(|words| self.add(words)));
                continue;
            };
            let Some(list) = self.named.get(name) else {
                let known = self.named.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(Error::bad(
                    Place::file(self.path),
                    format!("\"@{name}\""),
                    format!("a list of [cues]: {known}"),
                ));
            };
            for words in list.iter().flat_map(|cue| expanded(cue)) {
                let index = self.add(words);
                indices.push(index);
            }
        }
        Ok(indices)
    }

    fn add(&mut self, words: String) -> usize {
        *self.index.entry(words).or_insert_with_key(|words| {
            self.words.push(words.clone());
            self.words.len() - 1
        })
    }
}

/// `"{Kataib,Kataeb} Hezbollah"` → both spellings. A brace without its partner stays, and is refused as punctuation later.
fn expanded(alias: &str) -> Vec<String> {
    let braces = alias.find('{').and_then(|open| alias[open..].find('}').map(|close| (open, open + close)));
    let Some((open, close)) = braces else { return vec![alias.to_string()] };
    let (before, after) = (&alias[..open], &alias[close + 1..]);
    alias[open + 1..close].split(',').flat_map(|choice| expanded(&format!("{before}{choice}{after}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        crate::gazetteer::Gazetteer::parse(text, Path::new("g.toml")).err().map(|e| e.to_string()).unwrap_or_default()
    }

    const TWO: &str = "version = 1\n[[group]]\nid='a'\nname='A'\nkind='network'\naliases={en=['Army']}\n\
                       [[group]]\nid='b'\nname='B'\nkind='front_name'\nparent='a'\naliases={en=['Bees']}\n";

    #[test]
    fn braces_multiply() {
        assert_eq!(expanded("{a,b} {,c}d"), ["a d", "a cd", "b d", "b cd"]);
        assert_eq!(expanded("plain"), ["plain"]);
    }

    #[test]
    fn faults_say_what_is_wrong() {
        assert_eq!(fault(TWO), "");
        assert!(fault("version = 1\ngroup = 3").starts_with("g.toml line 2"));
        assert!(fault(&TWO.replace("id='b'", "id='a'")).contains("two groups with the id \"a\""));
        assert!(fault(&TWO.replace("parent='a'", "parent='x'")).contains("parent \"x\" of b is not there"));
        assert!(fault(&TWO.replace("parent='a'", "parent='b'")).contains("its own ancestor"));
        assert!(
            fault(&TWO.replace("Bees", "Army"))
                .contains("\"Army\" names a and b; expected one group a name; move it to")
        );
        assert!(fault(&TWO.replace("Bees", "Bees!")).contains("\"Bees!\" among the names"));
        assert!(fault(&TWO.replace("parent", "parrent")).contains("unknown field"));
        let ambiguous = format!("{TWO}[[group.ambiguous]]\nalias='Bee'\nwindow='sentence'\n");
        assert!(fault(&ambiguous).contains("\"Bee\" of b without a cue"));
        assert!(fault(&format!("{ambiguous}cue=['@hive']\n")).contains("\"@hive\""));
        assert!(fault(&format!("{ambiguous}cue=['bee']\n")).contains("as a cue of \"Bee\", in which it stands"));
        assert_eq!(fault(&format!("{ambiguous}cue=['honey*']\n")), "");
    }
}
