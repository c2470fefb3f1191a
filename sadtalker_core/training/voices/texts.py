"""Texts to be spoken: sentences of our own in many languages, sentences put together at random, and babble.

All text is made here, so the speech made from it is ours to give away. English goes to flite and espeak-ng, the other
languages to espeak-ng under the code they stand beside. `babble` needs no meaning: it visits syllables that sentences
are short of (lips on m b p f v w, round vowels), and a voice reads it as if it were words.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

ENGLISH = (
    "Good morning, and welcome to the little workshop by the river",
    "My mother bought a map before we moved to the mountain",
    "Bring the brown paper bag from behind the piano, please",
    "Five very fine violins were left over from the festival",
    "We would have won if the weather had been warmer",
    "Who chose the blue shoes with the purple bows",
    "Both of the boats float slowly over the open ocean",
    "She thinks that the third path is smoother than the fourth",
    "A happy family of pandas had apples and jam for lunch",
    "Keep three green leaves between the sheets of each piece",
    "Put your foot on the wood and push until the hook is loose",
    "Papa may be a bit late, but mama will be home by noon",
    "The judge changed his mind about the orange jacket",
    "Are the stars far apart, or are they part of an arm of dust",
    "Every engineer I ever met enjoyed a well made engine",
    "I made a promise, and I mean to keep it, whatever happens",
    "Nobody knows why the old tower leans toward the harbour",
    "The baby bumped a bubble and the bubble popped",
    "If you can hear me now, the microphone is probably plugged in",
    "You probably never noticed how much your lips move when you whisper",
    "Warm woollen mittens were waiting on the wide window sill",
    "He gave a clever answer and everyone laughed for a while",
    "Turn left after the bridge, walk for two minutes, and you will see the fountain",
    "The answer is forty seven point five, plus or minus one",
    "Seven silent sisters sat beside a slowly cooling samovar",
    "Maybe a bigger umbrella would help, but probably not in this storm",
    "Fill the vase with fresh water and leave the violets in the shade",
    "There is more bread in the oven, and more butter on the table",
    "Why do we dream, and what would we do if we did not",
    "The museum opens at nine, but the garden behind it never closes",
    "Show me how you fold the paper to make a flying swan",
    "One more move and the whole game is over",
    "It was the best coffee that I have had in months",
    "Please speak a little louder, the people at the back are still chatting",
    "Tomorrow morning a train full of pumpkins will pass by our village",
    "Ah, oh, now I see what you mean, wow",
    "Oh my, what a huge room you have for your books",
    "Come on, move, the bus is about to go",
    "Hm, let me think about that for a moment",
    "Yes. No. Maybe. Of course. Thank you. Bye bye",
)

# A language code of espeak-ng -> sentences of our own in it.
#: espeak-ng's code of a language -> sentences in it; a data file, because Python source stays in Windows' alphabet
OTHER_LANGUAGES: dict[str, tuple[str, ...]] = {
    language: tuple(sentences)
    for language, sentences in json.loads(
        (Path(__file__).parent / "other_languages.json").read_text(encoding="utf-8")
    ).items()
}

_SUBJECTS = (
    "my brother", "the old farmer", "a famous painter", "nobody here", "every visitor", "our new neighbour",
    "the shy boy",
    "a woman from the village", "the whole family", "your best friend", "the bus driver", "an owl", "the brave puppy",
    "Bob",
    "Emma", "Joe", "Sophie", "the mayor", "somebody upstairs", "the choir",
)  # fmt: skip
_VERBS = (
    "moved", "opened", "bought", "painted", "followed", "forgot", "borrowed", "improved", "saved", "pulled",
    "whispered about",
    "worried about", "laughed at", "gave away", "threw out", "chose", "wrapped", "measured", "searched for",
    "showed me",
)  # fmt: skip
_OBJECTS = (
    "a purple pumpkin", "the map of the park", "five empty boxes", "the broken piano", "a warm blanket",
    "some fresh bread",
    "the wooden bridge", "a box of moth wings", "two tall lamps", "the last piece of pie", "a beautiful poem",
    "the blue bowl",
    "an apple and a plum", "the loudest drum", "seven thin feathers", "the yellow umbrella", "a heavy wheel",
    "a cup of cocoa",
    "the top of the page", "a very good idea",
)  # fmt: skip
_PLACES = (
    "before lunch", "behind the barn", "on the way home", "near the foggy harbour", "in the middle of May",
    "for no reason",
    "above the museum", "with both hands", "without a word", "at half past four", "over the phone", "after the show",
    "by the window", "while the rain poured down", "from the top of the tower", "",
)  # fmt: skip
_JOINS = (". ", ", and ", ", but ", ", because ", "? ", "! ", ", so ", "... ")

_ONSETS = tuple("m b p f v w m b p f v w t d n l s k g r h j ch sh th st br pl gr fr".split()) + ("",)
_NUCLEI = tuple("a e i o u oo ee ai ou aw a o".split())
_CODAS = ("", "", "", "m", "b", "p", "n", "l", "s", "f", "v", "t", "mp")


def _clause(rng: random.Random) -> str:
    return f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_OBJECTS)} {rng.choice(_PLACES)}".strip()


def english_sentence(rng: random.Random) -> str:
    """One of ours, or one or two clauses put together at random, or a row of numbers."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(ENGLISH)
    if kind < 0.45:
        return "The numbers are " + ", ".join(str(rng.randrange(2000)) for _ in range(rng.randint(2, 4)))
    return rng.choice(_JOINS).join(_clause(rng) for _ in range(rng.randint(1, 2)))


def foreign_sentence(language: str, rng: random.Random) -> str:
    """One of ours in this language, or, every other time, words of all of them in another order: few sentences would
    be learnt by heart.
    """
    sentences = OTHER_LANGUAGES[language]
    if rng.random() < 0.5:
        return rng.choice(sentences)
    words = [word for sentence in sentences for word in sentence.split()]
    rng.shuffle(words)
    return " ".join(words[: rng.randint(4, 9)])


def babble(rng: random.Random) -> str:
    """Three to six made-up words, rich in syllables that begin or end at the lips."""

    def word() -> str:
        return "".join(rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in range(rng.randint(1, 3))) + rng.choice(_CODAS)

    return " ".join(word() for _ in range(rng.randint(3, 6)))
