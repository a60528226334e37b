"""Knowledge: facts of geography, science, history and culture, as four-way multiple choice.

All wrong answers are of the right one's kind; what grows is how rare the fact is. Easy: facts
that a child meets. Medium: facts from school. Hard: facts from further afield, wrong answers
that are near neighbours. Calibrated on SmolLM2-135M-Instruct: wrong answers from another domain
("Who wrote Hamlet?" "Electricity") were all seen through, so they are not used.
"""

from __future__ import annotations

import random

from .common import Difficulty, Question, Sample, multiple_choice

QUESTIONS: dict[Difficulty, list[Question]] = {
    "easy": [
        Question(
            "What is the capital of France?", "Paris", ("London", "Berlin", "Madrid"), "capital"
        ),
        Question("Which planet do we live on?", "Earth", ("Mars", "Venus", "Saturn")),
        Question("Which gas do people need to breathe?", "Oxygen", ("Helium", "Neon", "Methane")),
        Question("What do bees make?", "Honey", ("Butter", "Cheese", "Sugar")),
        Question(
            "Which animal is called the king of the jungle?",
            "The lion",
            ("The wolf", "The bear", "The horse"),
        ),
        Question("What do we call frozen water?", "Ice", ("Smoke", "Sand", "Oil")),
        Question(
            "Who wrote the play Romeo and Juliet?",
            "William Shakespeare",
            ("Charles Dickens", "Mark Twain", "Jane Austen"),
        ),
        Question("Which star is closest to our planet?", "The Sun", ("Sirius", "Vega", "Polaris")),
        Question("On which continent is Egypt?", "Africa", ("Asia", "Australia", "South America")),
        Question(
            "Which organ pumps blood through the body?",
            "The heart",
            ("The lungs", "The stomach", "The skin"),
        ),
        Question(
            "Which language do people in Germany speak?",
            "German",
            ("Chinese", "Hindi", "Swahili"),
            "language",
        ),
        Question(
            "Which is the largest ocean in the world?",
            "The Pacific Ocean",
            ("The Arctic Ocean", "The Indian Ocean", "The Atlantic Ocean"),
            "record",
        ),
        Question("How many legs does a spider have?", "Eight", ("Six", "Ten", "Four")),
        Question(
            "Who was the first president of the United States?",
            "George Washington",
            ("Abraham Lincoln", "John Kennedy", "Theodore Roosevelt"),
        ),
        Question("Which country built the Great Wall?", "China", ("India", "Japan", "Russia")),
        Question(
            "Which force makes an apple fall to the ground?",
            "Gravity",
            ("Friction", "Magnetism", "Electricity"),
        ),
        Question(
            "What does a caterpillar turn into?", "A butterfly", ("A spider", "A beetle", "A worm")
        ),
        Question(
            "Which instrument has black and white keys?",
            "The piano",
            ("The trumpet", "The whistle", "The drum"),
        ),
        Question(
            "Which season comes right after winter?", "Spring", ("Friday", "Evening", "Christmas")
        ),
        Question(
            "In which country are the pyramids of Giza?", "Egypt", ("Greece", "Mexico", "India")
        ),
        Question(
            "Which part of a plant takes up water from the soil?",
            "The roots",
            ("The petals", "The thorns", "The seeds"),
        ),
        Question(
            "Which is the tallest animal?",
            "The giraffe",
            ("The rabbit", "The penguin", "The camel"),
            "record",
        ),
    ],
    "medium": [
        Question(
            "What is the capital of Canada?",
            "Ottawa",
            ("Toronto", "Montreal", "Vancouver"),
            "capital",
        ),
        Question(
            "Which planet is known as the Red Planet?", "Mars", ("Venus", "Saturn", "Neptune")
        ),
        Question(
            "Which is the largest planet in the solar system?",
            "Jupiter",
            ("Mercury", "Earth", "Mars"),
            "record",
        ),
        Question(
            "What is the capital of Norway?",
            "Oslo",
            ("Bergen", "Stockholm", "Copenhagen"),
            "capital",
        ),
        Question("Which sport is played at Wimbledon?", "Tennis", ("Cricket", "Rugby", "Golf")),
        Question(
            "Who painted the ceiling of the Sistine Chapel?",
            "Michelangelo",
            ("Raphael", "Rembrandt", "Botticelli"),
        ),
        Question(
            "Who developed the theory of evolution by natural selection?",
            "Charles Darwin",
            ("Isaac Newton", "Gregor Mendel", "Louis Pasteur"),
        ),
        Question(
            "What is the chemical symbol for gold?", "Au", ("Ag", "Fe", "Pb"), "chemical symbol"
        ),
        Question(
            "In which country is the city of Kyoto?",
            "Japan",
            ("China", "Thailand", "Vietnam"),
            "city",
        ),
        Question(
            "Which river runs through the Grand Canyon?",
            "The Colorado",
            ("The Columbia", "The Missouri", "The Mississippi"),
        ),
        Question(
            "Which language do most people in Brazil speak?",
            "Portuguese",
            ("Spanish", "Italian", "French"),
            "language",
        ),
        Question(
            "Which vitamin does the skin make in sunlight?",
            "Vitamin D",
            ("Vitamin C", "Vitamin K", "Vitamin A"),
        ),
        Question(
            "Which material is the hardest in nature?", "Diamond", ("Granite", "Marble", "Quartz")
        ),
        Question(
            "Which animal is the heaviest on Earth?",
            "The blue whale",
            ("The elephant", "The giraffe", "The polar bear"),
        ),
        Question(
            "Who discovered penicillin?",
            "Alexander Fleming",
            ("Marie Curie", "Thomas Edison", "Galileo Galilei"),
        ),
        Question("Which gas makes up most of the air?", "Nitrogen", ("Oxygen", "Argon", "Methane")),
        Question(
            "In which year did the Second World War end?", "1945", ("1918", "1963", "1939"), "year"
        ),
        Question(
            "Which blood cells fight infections?",
            "White blood cells",
            ("Red blood cells", "Platelets", "Nerve cells"),
        ),
        Question(
            "At which temperature does water freeze?",
            "Zero degrees Celsius",
            ("Ten degrees Celsius", "Fifty degrees Celsius", "Ninety degrees Celsius"),
        ),
        Question(
            "Which continent has the fewest people?",
            "Antarctica",
            ("Europe", "Australia", "Africa"),
        ),
        Question(
            "Which country gave the Statue of Liberty to the United States?",
            "France",
            ("Spain", "England", "Italy"),
        ),
        Question(
            "Who was the first person to walk on the Moon?",
            "Neil Armstrong",
            ("Yuri Gagarin", "John Glenn", "Buzz Aldrin"),
        ),
    ],
    "hard": [
        Question(
            "What is the capital of Australia?",
            "Canberra",
            ("Sydney", "Melbourne", "Perth"),
            "capital",
        ),
        Question(
            "Which planet is tilted so far that it spins on its side?",
            "Uranus",
            ("Mars", "Venus", "Jupiter"),
        ),
        Question(
            "Which element has the atomic number 6?", "Carbon", ("Nitrogen", "Oxygen", "Boron")
        ),
        Question(
            "What is the capital of Turkey?", "Ankara", ("Istanbul", "Izmir", "Antalya"), "capital"
        ),
        Question(
            "Who composed the opera The Magic Flute?", "Mozart", ("Beethoven", "Wagner", "Verdi")
        ),
        Question(
            "Which is the smallest country in the world?",
            "Vatican City",
            ("Monaco", "San Marino", "Liechtenstein"),
            "record",
        ),
        Question(
            "Which scientist proposed the three laws of motion?",
            "Newton",
            ("Galileo", "Kepler", "Einstein"),
        ),
        Question(
            "What is the chemical symbol for potassium?", "K", ("P", "Po", "Pt"), "chemical symbol"
        ),
        Question(
            "Which organ makes insulin?", "The pancreas", ("The liver", "The kidney", "The stomach")
        ),
        Question(
            "In which year did the Berlin Wall fall?",
            "1989",
            ("1979", "1961", "1999"),
            "year",
        ),
        Question(
            "Who wrote the novel War and Peace?",
            "Leo Tolstoy",
            ("Anton Chekhov", "Fyodor Dostoevsky", "Ivan Turgenev"),
        ),
        Question(
            "Which currency does Sweden use?", "The krona", ("The euro", "The franc", "The zloty")
        ),
        Question("Which metal is liquid at room temperature?", "Mercury", ("Lead", "Tin", "Zinc")),
        Question(
            "Which bone is the longest in the human body?",
            "The femur",
            ("The tibia", "The humerus", "The radius"),
        ),
        Question(
            "Which language has the most native speakers in Austria?",
            "German",
            ("Austrian", "Hungarian", "Czech"),
        ),
        Question(
            "In which country is the city of Casablanca?",
            "Morocco",
            ("Algeria", "Spain", "Tunisia"),
            "city",
        ),
        Question(
            "What kind of rock forms when lava cools?",
            "Igneous",
            ("Sedimentary", "Metamorphic", "Limestone"),
        ),
        Question(
            "Who painted The Starry Night?",
            "Vincent van Gogh",
            ("Claude Monet", "Paul Cézanne", "Edvard Munch"),
        ),
        Question(
            "Which is the deepest lake in the world?",
            "Lake Baikal",
            ("Lake Superior", "Lake Victoria", "Lake Geneva"),
            "record",
        ),
        Question(
            "From which country did Finland become independent in 1917?",
            "Russia",
            ("Sweden", "Germany", "Denmark"),
        ),
        Question(
            "Which layer of the Earth lies directly below the crust?",
            "The mantle",
            ("The inner core", "The outer core", "The ozone layer"),
        ),
        Question(
            "Which sea lies between Italy and Croatia?",
            "The Adriatic Sea",
            ("The Aegean Sea", "The Black Sea", "The Baltic Sea"),
        ),
    ],
}


def samples(rng: random.Random) -> list[Sample]:
    """The 66 samples of this capability."""
    return multiple_choice(rng, "knowledge", QUESTIONS)
