"""Something to say: sentences of our own in many languages, sentences put together by chance, and babble.

All text is made here, so the speech made from it is ours to give away. English goes to flite and espeak-ng, the other
languages to espeak-ng under the code they stand beside. `babble` needs no meaning: it visits syllables that sentences
are short of (lips on m b p f v w, round vowels), and a voice reads it as if it were words.
"""

from __future__ import annotations

import random

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
OTHER_LANGUAGES: dict[str, tuple[str, ...]] = {
    "es": (
        "Buenos días, hoy vamos a hablar de una pequeña máquina que dibuja",
        "Mi abuela prepara pan con manteca y mermelada de ciruela",
        "El bosque huele bien después de la lluvia de verano",
        "No sé por qué el gato mira siempre la misma ventana",
        "Vuelve pronto, porque la música empieza a las ocho",
    ),
    "fr": (
        "Bonjour, je vous montre une petite machine qui parle",
        "Ma sœur a peint un beau bateau bleu sur le mur du jardin",
        "Peux-tu fermer la porte avant que le vent ne l'ouvre encore",
        "Nous avons vu une fumée blanche au-dessus du village",
        "Il fallait un peu plus de beurre et beaucoup moins de poivre",
    ),
    "de": (
        "Guten Morgen, wir bauen heute eine kleine Maschine aus Papier",
        "Meine Mutter möchte am Abend über den Fluss fahren",
        "Vor dem Fenster blüht ein alter Pflaumenbaum",
        "Wofür brauchst du so viele bunte Büroklammern",
        "Bitte bring mir Brot, Butter und ein bisschen Honig mit",
    ),
    "it": (
        "Buongiorno, oggi proviamo una piccola macchina che racconta storie",
        "Mia mamma compra sempre un mazzo di fiori al mercato",
        "Vorrei un bicchiere d'acqua e un piatto di pasta al pomodoro",
        "Il vento porta via le foglie gialle del vecchio platano",
    ),
    "pt-br": (
        "Bom dia, meu vizinho plantou uma bananeira perto do muro",
        "A música da festa ficou boa, mas o bolo acabou cedo",
        "Quero ver o mar amanhã e ouvir o vento bater na vela",
    ),
    "nl": (
        "Goedemorgen, we bouwen vandaag een huis van oude boeken",
        "Mijn broer vaart met zijn boot over het meer naar de overkant",
        "De bakker verkoopt warme broodjes met boter en pruimenjam",
    ),
    "pl": (
        "Dzień dobry, mój brat buduje mały most z papieru",
        "Mama kupiła bułki, masło i powidła z jabłek",
        "W lesie pachnie po deszczu, a ptaki wracają na pole",
    ),
    "cs": ("Dobré ráno, babička peče povidlové buchty", "Můj bratr opravuje starou pumpu u potoka"),
    "ru": (
        "Доброе утро, мой брат построил маленький бумажный мост",
        "Мама купила хлеб, масло и банку вишнёвого варенья",
        "Вечером мы поплывём на лодке вдоль белого берега",
    ),
    "uk": ("Добрий ранок, бабуся пече пиріг із вишнями", "Мій брат пливе човном уздовж берега"),
    "sv": ("God morgon, min bror bygger en båt av papper", "Vi vill bjuda på varma bullar med smör och sylt"),
    "da": ("Godmorgen, min mor bager brød med smør og blommer",),
    "nb": ("God morgen, vi bygger ei bru av papir over bekken",),
    "fi": ("Hyvää huomenta, veljeni rakentaa veneen paperista", "Mummo leipoo pullaa ja puhuu puhelimessa"),
    "et": ("Tere hommikust, ema küpsetab ploomikooki",),
    "hu": ("Jó reggelt, a bátyám papírból épít egy kis hidat", "Anyám vajas kenyeret és baracklekvárt vett"),
    "ro": ("Bună dimineața, mama face o plăcintă bună cu prune și mere",),
    "el": ("Καλημέρα, ο παππούς μου φτιάχνει μια βάρκα από χαρτί",),
    "tr": ("Günaydın, abim kâğıttan küçük bir köprü yapıyor", "Annem bahçede büyük bir pembe gül buldu"),
    "ar": ("صباح الخير أمي تبني بيتا صغيرا من ورق",),
    "fa": ("صبح بخیر مادرم نان و مربا می‌خرد",),
    "hi": ("नमस्ते, मेरा भाई कागज़ की एक छोटी नाव बना रहा है", "माँ बाज़ार से फूल और मीठे आम लाई"),
    "bn": ("সুপ্রভাত, আমার মা ফুল আর আম কিনেছেন",),
    "ta": ("காலை வணக்கம், அம்மா பூக்கள் வாங்கினார்",),
    "id": ("Selamat pagi, ibu membeli buah mangga dan bunga putih", "Adik saya membuat perahu kecil dari kertas"),
    "sw": ("Habari za asubuhi, mama amepika viazi na maharagwe", "Kaka yangu anajenga mashua ya karatasi"),
    "vi": ("Chào buổi sáng, mẹ tôi mua hoa và bánh mì",),
    "ko": ("안녕하세요, 엄마가 빵과 버터를 샀어요", "오빠는 종이로 작은 배를 만들어요"),
    "ja": ("おはようございます、ははは パンと バターを かいました", "ぼくは かみで ふねを つくります"),
    "cmn-latn-pinyin": (
        "zao3 shang4 hao3, wo3 ma1 ma mai3 le mian4 bao1 he2 ping2 guo3",
        "wo3 men ming2 tian1 zuo4 chuan2 qu4 kan4 bai2 se4 de shan1",
    ),
    "yue": ("早晨，媽媽買咗麵包同蘋果",),
    "eo": ("Bonan matenon, mia frato konstruas papera boato",),
    "haw": ("Aloha kakahiaka, ua hana ke kaikuaʻana i waʻa pepa",),
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
    """One of ours, or one or two clauses put together by chance, or a row of numbers."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(ENGLISH)
    if kind < 0.45:
        return "The numbers are " + ", ".join(str(rng.randrange(2000)) for _ in range(rng.randint(2, 4)))
    return rng.choice(_JOINS).join(_clause(rng) for _ in range(rng.randint(1, 2)))


def babble(rng: random.Random) -> str:
    """Three to six made-up words, rich in syllables that begin or end at the lips."""

    def word() -> str:
        return "".join(rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in range(rng.randint(1, 3))) + rng.choice(_CODAS)

    return " ".join(word() for _ in range(rng.randint(3, 6)))
