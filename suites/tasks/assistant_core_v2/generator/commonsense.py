"""Commonsense: what is physically or socially plausible in everyday life.

Easy: what a thing is for, absurd wrong answers. Medium: a cause and its effect, a need and what
meets it. Hard: a small situation from which something follows, wrong answers that share its
words. Calibrated on SmolLM2-135M-Instruct by how absurd the wrong answers are.
"""

from __future__ import annotations

import random

from .common import Difficulty, Question, Sample, multiple_choice

QUESTIONS: dict[Difficulty, list[Question]] = {
    "easy": [
        Question(
            "What do you use to cut bread?", "A knife", ("A pillow", "A cloud", "A towel"), "tool"
        ),
        Question(
            "Where do people usually sleep?", "In a bed", ("In a bucket", "In a cup", "In a drawer")
        ),
        Question(
            "What do you wear on your feet?",
            "Socks and shoes",
            ("Hats and scarves", "Rings and pearls", "Ties and gloves"),
        ),
        Question(
            "What do you do when you are thirsty?",
            "Drink water",
            ("Eat salt", "Go skiing", "Paint walls"),
        ),
        Question(
            "What happens to ice in the sun?", "It melts", ("It sings", "It burns", "It grows")
        ),
        Question(
            "Where do you keep milk cold?",
            "In the fridge",
            ("In the oven", "In the library", "In the bed"),
        ),
        Question(
            "What do you need when it rains?", "An umbrella", ("A hammer", "A telescope", "A piano")
        ),
        Question(
            "What do you use to brush your teeth?",
            "A toothbrush",
            ("A hairbrush", "A paintbrush", "A broom"),
            "tool",
        ),
        Question(
            "Who helps you when you are ill?", "A doctor", ("A pirate", "A painter", "A clown")
        ),
        Question("Where do fish live?", "In water", ("In trees", "In the sky", "In books")),
        Question(
            "What do you use to write a letter?", "A pen", ("A spoon", "A shoe", "A candle"), "tool"
        ),
        Question("What is a chair for?", "Sitting", ("Eating", "Flying", "Washing")),
        Question("What do you do with a book?", "Read it", ("Cook it", "Drink it", "Water it")),
        Question(
            "Where do you buy food?",
            "At the supermarket",
            ("At the cemetery", "At the barber", "At the stadium"),
        ),
        Question(
            "What does a baby do when it is hungry?",
            "It cries",
            ("It drives", "It votes", "It reads"),
        ),
        Question(
            "How do people enter a house?",
            "Through the door",
            ("Through the roof", "Through the chimney", "Through the floor"),
        ),
        Question(
            "How do people usually feel after a good joke?",
            "They feel amused",
            ("They feel furious", "They feel hungry", "They feel lonely"),
        ),
        Question("What do you put on a birthday cake?", "Candles", ("Nails", "Stones", "Socks")),
        Question(
            "What can you see at night in a clear sky?",
            "The moon and stars",
            ("A field of carpets", "Fish and spoons", "A pair of rainbows"),
        ),
        Question(
            "A stranger comes to the gate. What does the watchdog do?",
            "It barks",
            ("It meows", "It sews", "It types"),
        ),
        Question(
            "What do you wear in cold weather?",
            "A warm coat",
            ("A swimsuit", "A wedding ring", "A paper bag"),
        ),
        Question(
            "What do you use to open a locked door?",
            "A key",
            ("A fork", "A pillow", "A banana"),
            "tool",
        ),
    ],
    "medium": [
        Question(
            "A glass falls on a stone floor. What happens to it?",
            "It breaks",
            ("It floats", "It melts", "It grows"),
        ),
        Question(
            "You leave bread in a hot oven for three hours. What happens to it?",
            "It burns",
            ("It freezes", "It sinks", "It moves"),
        ),
        Question(
            "Maria's hands are dirty. What should she do?",
            "Wash them",
            ("Hide them", "Dry them", "Warm them"),
        ),
        Question(
            "The room is too dark to read. What should you do?",
            "Turn on the light",
            ("Close the curtains", "Open the fridge", "Turn on the radio"),
        ),
        Question(
            "Your friend gives you a present. What do you say?",
            "Thank you",
            ("Good night", "Excuse me", "Get well soon"),
        ),
        Question(
            "A man walks in the desert all day without water. How does he feel?",
            "Thirsty",
            ("Chilly", "Sleepy", "Bored"),
        ),
        Question(
            "You drop a stone into a lake. Where does it go?",
            "To the bottom",
            ("To the shore", "To the surface", "To the sky"),
        ),
        Question(
            "The traffic light turns red. What should the driver do?",
            "Stop the car",
            ("Speed up", "Turn around", "Get out"),
        ),
        Question(
            "A boy falls off his bike. What may be hurt?",
            "His knee",
            ("His bell", "His name", "His hair"),
        ),
        Question(
            "Why do people wear sunglasses?",
            "To protect their eyes",
            ("To protect their ears", "To keep warm", "To hear better"),
        ),
        Question(
            "What do you do before you cross a street?",
            "Look both ways",
            ("Close your eyes", "Sit down", "Tie your hair"),
        ),
        Question(
            "The baby is asleep. How should you talk?", "Quietly", ("Loudly", "Quickly", "Angrily")
        ),
        Question(
            "What do you do if your shoes are too small?",
            "Buy bigger ones",
            ("Buy smaller ones", "Wear two socks", "Run faster"),
        ),
        Question(
            "What do farmers do after the corn is ripe?",
            "They harvest it",
            ("They plant it", "They water it", "They bury it"),
        ),
        Question(
            "What does a letter need before you mail it?",
            "A stamp",
            ("A lid", "A button", "A coin"),
        ),
        Question(
            "What does a cook add if the soup has no taste?", "Salt", ("Water", "Ice", "Flour")
        ),
        Question(
            "Why would someone whisper in a library?",
            "Not to disturb others",
            ("To be heard by all", "To stay warm", "To read faster"),
        ),
        Question(
            "How do you find out how heavy a bag is?",
            "Weigh it",
            ("Measure it", "Open it", "Shake it"),
        ),
        Question(
            "The phone's battery is empty. What does it need?",
            "A charger",
            ("A case", "A song", "A number"),
        ),
        Question(
            "You want to know what time it is. What do you look at?",
            "A clock",
            ("A map", "A mirror", "A scale"),
        ),
        Question(
            "What do you do with a hot pan before you touch it?",
            "Let it cool",
            ("Fill it up", "Let it boil", "Heat it"),
        ),
        Question(
            "A plant in a pot has brown and dry leaves. What does it need?",
            "Water",
            ("Snow", "Paint", "Wind"),
        ),
    ],
    "hard": [
        Question(
            "Wet clothes hang in the sun and wind. How are they in the evening?",
            "Dry",
            ("Wet", "Dirty", "Cold"),
        ),
        Question(
            "Sam put a wooden spoon and an iron nail into water. Which of them floats?",
            "The spoon",
            ("The nail", "Both of them", "None of them"),
        ),
        Question(
            "What can a child carry up the stairs?", "A pillow", ("A fridge", "A sofa", "A piano")
        ),
        Question(
            "Nina locked her keys inside the car. Whom should she call?",
            "A locksmith",
            ("A dentist", "A gardener", "A plumber"),
        ),
        Question(
            "There is water all over the bathroom floor. Whom do you call?",
            "A plumber",
            ("A locksmith", "A baker", "A tailor"),
        ),
        Question(
            "What would you take on a hike in the mountains?",
            "Strong boots",
            ("High heels", "A bathtub", "A vase"),
        ),
        Question(
            "The ice cream was left on the kitchen table overnight. What is it now?",
            "Liquid",
            ("Hard", "Frozen", "Crunchy"),
        ),
        Question(
            "Ben ate far too much cake at the party. What probably hurts?",
            "His stomach",
            ("His ear", "His elbow", "His ankle"),
        ),
        Question(
            "What takes many months to do?",
            "Building a house",
            ("Boiling an egg", "Reading a letter", "Washing a cup"),
        ),
        Question(
            "A ball rolls off the edge of a table. Where will it be next?",
            "On the floor",
            ("On the ceiling", "On the table", "On the wall"),
        ),
        Question(
            "What would break if you stepped on it?", "An egg", ("A coin", "A sponge", "A carpet")
        ),
        Question(
            "It is noon and the sky is bright. What can you not see?",
            "The stars",
            ("The clouds", "The trees", "The sun"),
        ),
        Question(
            "Kate is allergic to cats. What would be a bad present for her?",
            "A kitten",
            ("A puppy", "A goldfish", "A book"),
        ),
        Question(
            "Leo wants to surprise his wife with a party. What must he not do?",
            "Tell her about it",
            ("Buy a cake", "Invite friends", "Clean the house"),
        ),
        Question("What fits into a pocket?", "A coin", ("A ladder", "A bicycle", "A mattress")),
        Question(
            "You poured cold milk into hot coffee. How is the coffee now?",
            "Less hot",
            ("Hotter", "Frozen", "Sweeter"),
        ),
        Question(
            "The bus leaves at eight, and Jane arrives at the stop at nine. What happened?",
            "She missed it",
            ("She caught it", "She drove it", "She stopped it"),
        ),
        Question(
            "Footprints in the snow lead to the door. What does that tell you?",
            "Somebody came",
            ("Snow is melting", "It is summer", "The door is red"),
        ),
        Question(
            "What would you use to carry water from a well?",
            "A bucket",
            ("A basket", "A net", "A fork"),
        ),
        Question(
            "Two people want the last cookie. What would be fair?",
            "Sharing it",
            ("Hiding it", "Stealing it", "Burning it"),
        ),
        Question(
            "What gets smaller every time it is used?",
            "Soap",
            ("A mirror", "A spoon", "A chair"),
        ),
        Question(
            "Grandma cannot read the small print. What does she need?",
            "Her glasses",
            ("Her gloves", "Her slippers", "Her purse"),
        ),
    ],
}


def samples(rng: random.Random) -> list[Sample]:
    """The 66 samples of this capability."""
    return multiple_choice(rng, "commonsense", QUESTIONS)
