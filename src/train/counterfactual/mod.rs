//! Labelled sentences → the same with other actors, and the labels that then hold (counterfactual augmentation; Kaushik,
//! Hovy and Lipton, 2020): a network that sees who acts on whom in one order only learns names, not parts.
//!
//! What is an actor of which class, and what an act becomes, stands in `labels/counterfactuals.toml`.

mod names;
mod rules;
mod turkish;

use super::batches::mix;
use crate::article::Span;
use crate::dataset::Example;
use crate::kernels::threads::in_parallel;
use crate::model::mode::splitmix64;
use names::Name;
pub use rules::Rules;
use rules::{Cast, Mention};
use std::collections::BTreeMap;

/// The examples with other actors, at most `copies` of each, of those that name two and that the rules let have one. In a first copy
/// these change places, in further ones they are replaced by others that the examples of that language name. Which actors depends
/// on `seed` and the example's number alone.
pub fn counterfactuals(
    examples: &[&Example],
    copies: usize,
    rules: &Rules,
    (seed, workers): (u64, usize),
) -> Vec<Example> {
    if copies == 0 {
        return Vec::new();
    }
    let named = in_parallel(examples, workers, |example| {
        let mentions = rules.named(example).unwrap_or_default();
        let bare = |m: &Mention| (m.class, rules.name(&example.text, m, &example.language).bare);
        mentions.iter().map(bare).collect::<Vec<_>>()
    });
    let mut names = Names::new();
    for (example, mentions) in examples.iter().zip(named) {
        names.entry(example.language.as_str()).or_default().extend(mentions);
    }
    let numbered: Vec<(usize, &Example)> = examples.iter().copied().enumerate().collect();
    let of_each = in_parallel(&numbered, workers, |(i, example)| {
        let mut state = mix(&[seed, 4, *i as u64]);
        let exchanged = rules.exchanged(example, &mut state);
        let recast = (1..copies).filter_map(|_| rules.recast(example, &names, &mut state));
        exchanged.into_iter().chain(recast).collect::<Vec<_>>()
    });
    of_each.into_iter().flatten().collect()
}

/// Names of actors in texts of a language, with their class, each as often as it stands there.
type Names<'e> = BTreeMap<&'e str, Vec<(usize, String)>>;

/// How often other actors are drawn until a rule fits.
const DRAWS: usize = 8;

impl Rules {
    /// The example with its actor and one of the others exchanged, by which a rule fits.
    fn exchanged(&self, example: &Example, state: &mut u64) -> Option<Example> {
        let (actor, others) = self.parts(example)?;
        let first = splitmix64(state) as usize;
        (0..others.len()).map(|i| &others[(first % others.len() + i) % others.len()]).find_map(|other| {
            let bare = |m: &Mention| self.name(&example.text, m, &example.language).bare;
            let cast = Cast { actor: other.class, other: actor.class, changed_places: true };
            self.with_cast(example, &[(&actor, &bare(other)), (other, &bare(&actor))], cast)
        })
    }

    /// The example with its actor and one other replaced by actors that are drawn from `names`, the former by one of another class.
    fn recast(&self, example: &Example, names: &Names<'_>, state: &mut u64) -> Option<Example> {
        let (actor, others) = self.parts(example)?;
        let mut draw = |n: usize| (splitmix64(state) % n.max(1) as u64) as usize;
        let other = others.get(draw(others.len()))?;
        let names = names.get(example.language.as_str())?;
        (0..DRAWS).find_map(|_| {
            let ((class, name), (other_class, other_name)) = (&names[draw(names.len())], &names[draw(names.len())]);
            if *class == actor.class || class == other_class {
                return None;
            }
            let cast = Cast { actor: *class, other: *other_class, changed_places: false };
            self.with_cast(example, &[(&actor, name), (other, other_name)], cast)
        })
    }

    /// The names of actors in an example that can have a counterfactual.
    fn named(&self, example: &Example) -> Option<Vec<Mention>> {
        self.allow(&example.labels).then(|| self.actors(&example.text, &example.language))?
    }

    /// The names of actors in a text, each with its case ending; none if it is open who is meant.
    fn actors(&self, text: &str, language: &str) -> Option<Vec<Mention>> {
        let mut mentions = self.mentions(&self.terms(text, language))?;
        if language == "tr" {
            mentions.iter_mut().for_each(|m| m.span.end += turkish::after_apostrophe(&text[m.span.end..]));
        }
        Some(mentions)
    }

    /// The one mention of the labelled actor, and the mentions of actors of other classes.
    fn parts(&self, example: &Example) -> Option<(Mention, Vec<Mention>)> {
        let class = example.labels[self.head]?;
        let (mut own, others): (Vec<_>, Vec<_>) = self.named(example)?.into_iter().partition(|m| m.class == class);
        let actor = own.pop()?;
        own.is_empty().then_some((actor, others))
    }

    /// The name that a mention in a text is, taken apart.
    fn name(&self, text: &str, mention: &Mention, language: &str) -> Name {
        let is_name = |bare: &str| {
            let terms = self.terms(bare, language);
            terms.iter().any(|t| t.span.start == 0 && t.span.end == bare.len() && self.class(t) == Some(mention.class))
        };
        Name::new(mention.span.of(text), language, is_name)
    }

    /// The example with other names in the place of some mentions, if a rule fits what then stands there. Labels of heads that the
    /// rules do not speak of are left out.
    fn with_cast(&self, example: &Example, names: &[(&Mention, &str)], cast: Cast) -> Option<Example> {
        let old: Vec<Name> = names.iter().map(|(m, _)| self.name(&example.text, m, &example.language)).collect();
        let in_place = names.iter().zip(&old).map(|((m, new), old)| (m.span, old.with(new)));
        let text = replace(&example.text, in_place.collect());
        // What was meant is what can be read: names may run together with their neighbours.
        let terms = self.terms(&text, &example.language);
        let mentions = self.mentions(&terms)?;
        if mentions.iter().filter(|m| m.class == cast.actor).count() != 1 {
            return None;
        }
        let rule = self.rule(cast, &terms, &mentions)?;
        let in_context = |context: &String| {
            let mentions = self.actors(context, &example.language).unwrap_or_default();
            let new_name = |m: &Mention| {
                let name = self.name(context, m, &example.language);
                let i = old.iter().position(|old| old.bare == name.bare)?;
                Some((m.span, name.with(names[i].1)))
            };
            replace(context, mentions.iter().filter_map(new_name).collect())
        };
        let mut labels = vec![None; example.labels.len()];
        labels[self.head] = Some(cast.actor);
        rule.set.iter().for_each(|(head, label)| labels[*head] = Some(*label));
        let (title, previous) = (example.title.as_ref().map(in_context), example.previous.as_ref().map(in_context));
        Some(Example { text, title, previous, labels, ..example.clone() })
    }
}

/// The text with other names at some places, by start; a capital at the start stays one.
fn replace(text: &str, mut names: Vec<(Span, String)>) -> String {
    names.sort_by_key(|(span, _)| span.start);
    let (mut out, mut at) = (String::with_capacity(text.len() + 32), 0);
    for (span, name) in names {
        out.push_str(&text[at..span.start]);
        out.push_str(&name);
        at = span.end;
    }
    out.push_str(&text[at..]);
    let mut letters = out.chars();
    match letters.next() {
        Some(first) if text.starts_with(char::is_uppercase) => first.to_uppercase().chain(letters).collect(),
        _ => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Place, Result};
    use crate::lexicon::Lexicon;
    use crate::schema::Schema;
    use std::path::Path;
    use std::sync::Arc;

    const SCHEMA: &str = include_str!("../../../labels/schema.toml");

    fn schema() -> Schema {
        Schema::parse(SCHEMA, Path::new("labels/schema.toml")).unwrap()
    }

    fn example(language: &str, text: &str, labels: [&str; 2]) -> Example {
        let class = |h: usize| schema().heads[h].classes.iter().position(|c| c.name == labels[h]);
        Example {
            id: None,
            article_id: "a".into(),
            language: language.into(),
            title: None,
            previous: None,
            text: text.into(),
            start: None,
            end: None,
            labels: vec![class(0), class(1)],
            split: None,
            source: None,
            annotator: None,
            place: Place::file("test"),
        }
    }

    /// Text, headline and labels of the counterfactual.
    fn made(example: &Example) -> Option<(String, Option<String>, [String; 2])> {
        let rules = Rules::shipped(&schema(), &Arc::new(Lexicon::shipped().unwrap())).unwrap().unwrap();
        let made = counterfactuals(&[example], 1, &rules, (1, 1)).pop()?;
        let name = |h: usize| schema().heads[h].classes[made.labels[h].unwrap()].name.clone();
        Some((made.text.clone(), made.title.clone(), [name(0), name(1)]))
    }

    #[test]
    fn who_attacked_is_attacked_and_the_labels_follow() {
        let mut army = example("en", "The Iraqi army attacked Islamic State near Hawija.", ["other", "other_actor"]);
        army.title = Some("Islamic State attacked".into());
        let (text, title, labels) = made(&army).unwrap();
        assert_eq!(text, "The Islamic State attacked Iraqi army near Hawija.");
        assert_eq!(title.as_deref(), Some("Iraqi army attacked"));
        assert_eq!(labels, ["is_attack", "islamic_state"]);
        let back = example("en", &text, ["is_attack", "islamic_state"]);
        assert_eq!(made(&back).unwrap().2, ["other", "other_actor"]);

        let strike =
            example("en", "American jets bombed Kataib Hezbollah near Jurf al-Sakhar.", ["other", "coalition"]);
        assert_eq!(made(&strike).unwrap().2, ["militia_attack", "militia"]);
        let arabic = example("ar", "هاجم تنظيم داعش قوات البيشمركة قرب مخمور.", ["is_attack", "islamic_state"]);
        let (text, _, labels) = made(&arabic).unwrap();
        assert!(text.find("البيشمركة") < text.find("داعش"), "{text}");
        assert_eq!(labels, ["other", "other_actor"]);
    }

    #[test]
    fn what_no_rule_covers_is_left_as_it_is() {
        for (text, labels) in [
            ("Islamic State threatened the Iraqi army.", ["policy_statement", "islamic_state"]),
            ("Islamic State attacked a village.", ["is_attack", "islamic_state"]), // one actor only
            ("Gunmen attacked the Iraqi army.", ["other", "unidentified"]),
            // what a militia does at a base of the coalition depends on who is there
            ("Turkish drones hit Kataib Hezbollah at Ain al-Asad.", ["other", "other_actor"]),
        ] {
            assert!(made(&example("en", text, labels)).is_none(), "{text}");
        }
    }

    #[test]
    fn further_copies_draw_other_actors_and_the_labels_follow_them() {
        let texts = [
            ("Islamic State killed two soldiers of the Iraqi army.", ["is_attack", "islamic_state"]),
            ("Turkish jets bombed the PKK.", ["other", "other_actor"]),
            ("Asaib Ahl al-Haq shelled the Peshmerga.", ["other", "militia"]),
            ("American jets bombed Islamic State.", ["other", "coalition"]),
        ];
        let examples = texts.map(|(text, labels)| example("en", text, labels));
        let (schema, lexicon) = (schema(), Arc::new(Lexicon::shipped().unwrap()));
        let rules = Rules::shipped(&schema, &lexicon).unwrap().unwrap();
        let made = |copies: usize, seed: u64, workers: usize| {
            let examples: Vec<&Example> = examples.iter().collect();
            counterfactuals(&examples, copies, &rules, (seed, workers))
        };
        assert!(made(0, 1, 1).is_empty());
        let all = made(9, 1, 2);
        assert!(all.len() > made(1, 1, 1).len() + 8, "{}", all.len());
        assert_eq!(all, made(9, 1, 1), "the number of threads changes what is drawn");
        assert_ne!(all, made(9, 2, 1));
        for e in &all {
            let name = |h: usize| schema.heads[h].classes[e.labels[h].unwrap()].name.as_str();
            let classes: Vec<usize> = rules.named(e).unwrap().iter().map(|m| m.class).collect();
            assert_eq!(classes.iter().filter(|c| Some(**c) == e.labels[1]).count(), 1, "{}", e.text);
            match name(1) {
                "islamic_state" => assert_eq!(name(0), "is_attack", "{}", e.text),
                "militia" => assert_ne!(name(0), "is_attack", "{}", e.text),
                _ => assert_eq!(name(0), "other", "{}", e.text),
            }
        }
    }

    #[test]
    fn the_shipped_rules_fit_the_shipped_schema_and_names_that_fit_nothing_are_told() {
        let (schema, lexicon) = (schema(), Arc::new(Lexicon::shipped().unwrap()));
        let shipped = Rules::shipped(&schema, &lexicon).unwrap().unwrap();
        let other = Schema::parse(&SCHEMA.replace("islamic_state", "daesh"), Path::new("mine.toml")).unwrap();
        assert!(Rules::shipped(&other, &lexicon).unwrap().is_none());

        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| -> Result<Rules> {
            let path = folder.path().join("rules.toml");
            std::fs::write(&path, text).unwrap();
            Rules::read(&path, &schema, &lexicon)
        };
        assert_eq!(read(shipped.text()).unwrap().text(), shipped.text());
        for (wrong, told) in [
            (
                shipped.text().replace("head = \"perpetrator\"", "head = \"who\""),
                "head \"who\"; expected one of incident",
            ),
            (shipped.text().replace("iran = [", "irna = ["), "did you mean \"iran\"?"),
            (shipped.text().replace("\"is_name\"", "\"isname\""), "did you mean \"is_name\"?"),
            (shipped.text().replace("without", "whithout"), "unknown field `whithout`"),
        ] {
            let message = read(&wrong).unwrap_err().to_string();
            assert!(message.contains("rules.toml") && message.contains(told), "{message}");
        }
    }
}
