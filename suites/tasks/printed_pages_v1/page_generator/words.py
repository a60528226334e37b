"""What stands on the pages: written for this task set; no shop, person or place is meant."""

# ruff: noqa: RUF001 -- letters of other languages are meant

from __future__ import annotations

SHOPS = (
    "Alder & Finch",
    "Corvane Supplies",
    "Harbour Row Stores",
    "Marlow Yard",
    "Oakmere Books",
    "Penn Hollow Tools",
    "Tilbrook Garden",
    "Wexley Paper Co.",
)

STREETS = (
    "14 Quarry Lane, Aldercombe",
    "3 Mill Court, Brayford",
    "27 Station Road, Fenwick",
    "108 Upper Walk, Larkhill",
    "9 Chapel Rise, Osterley",
    "61 Weir Street, Tarnhollow",
)

ITEMS = (
    "Blue folder",
    "Bone china cup",
    "Brass hinge 40 mm",
    "Cedar plank",
    "Copper wire 2 m",
    "Desk lamp LED",
    "Garden twine",
    "Gravel, washed",
    "Ink cartridge XL",
    "Jar of honey",
    "Linen apron",
    "Oak shelf",
    "Paint brush no. 6",
    "Pencil HB, box",
    "Rye loaf",
    "Seed mix",
    "Steel bolt M8",
    "Tea, loose leaf",
    "Wool blanket",
    "Zinc bucket 9 l",
)

PEOPLE = ("A. Okafor", "B. Lindqvist", "C. Moreau", "D. Whitlam", "E. Takeda", "F. Duarte")

NOTICES = (
    "The lift is out of order until Friday.",
    "Please use the stairs on the left.",
    "Visitors sign in at the front desk.",
    "Keep this door closed at all times.",
    "Parcels are handed out from 8:30 to 17:45.",
    "The reading room opens at nine.",
    "Bring your card and one photograph.",
    "Dogs must be kept on a lead.",
    "Room 214 has moved to the third floor.",
    "Do not leave bicycles in the hall.",
    "The next meeting is on 12 March at 19:00.",
    "Water will be turned off on Tuesday.",
    "Call 0555 271 904 if the alarm rings.",
    "Tickets bought online are valid today only.",
    "Lost keys are kept by the porter.",
    "Lunch is served between 12 and 14.",
    "Quiet, please: examinations in progress.",
    "Rubbish is collected every second Monday.",
    "Exit through the garden gate.",
    "The museum shop takes no cash.",
    "Mind the step and the low ceiling.",
    "Bus 47 stops at the market square.",
    "Children under six travel free of charge.",
    "Write your name in block letters.",
)

CONDITIONS = (
    "Goods remain the property of the seller until paid for in full.",
    "Returns are accepted within 30 days if the seal is unbroken.",
    "The buyer bears the cost of carriage unless agreed otherwise.",
    "No liability is taken for delay caused by weather or strikes.",
    "Interest of 4.5 % a year is charged on overdue sums.",
    "Claims must be made in writing and name the batch number.",
    "Prices include tax and may change without notice.",
    "The guarantee covers parts and labour for 24 months.",
    "Data are kept as long as the law requires, and no longer.",
    "Should one clause be void, the others stay in force.",
    "Samples differ slightly in colour, grain and weight.",
    "Orders above 250 are delivered free on the mainland.",
    "Deposits are refunded when the crates come back clean.",
    "The user shall read the manual before first use.",
    "Batteries are to be disposed of at a collection point.",
    "Do not expose to heat above 60 degrees or to open fire.",
)

LANGUAGES = {
    "cs": (
        "Dveře prosím zavírejte tiše.",
        "Příští schůze je v úterý v šest hodin.",
        "Výtah je mimo provoz až do pátku.",
        "Klíče vydává vrátný u hlavního vchodu.",
    ),
    "de": (
        "Die Tür bitte leise schließen.",
        "Für Gäste ist der Hof ab März geöffnet.",
        "Größere Pakete liegen beim Pförtner.",
        "Über die Brücke fährt heute kein Bus.",
    ),
    "el": (
        "Η πόρτα μένει κλειστή τη νύχτα.",
        "Το λεωφορείο φεύγει στις εννέα.",
        "Καλημέρα, το μουσείο είναι ανοιχτό.",
        "Μην αφήνετε ποδήλατα στην είσοδο.",
    ),
    "es": (
        "El ascensor no funciona hasta el miércoles.",
        "¿Dónde está la llave del jardín?",
        "Los niños pequeños entran sin pagar.",
        "La reunión será mañana a las ocho.",
    ),
    "fr": (
        "La salle de lecture ouvre à neuf heures.",
        "Le musée est fermé dès la fin août.",
        "Où sont rangées les clés de l'hôtel ?",
        "Ça coûte très peu, même à Noël.",
    ),
    "hu": (
        "Kérjük, csendben csukja be az ajtót.",
        "A következő ülés kedden hat órakor lesz.",
        "Az őrnél található az elveszett kulcs.",
        "A gyűjtemény hétfőn zárva tart.",
    ),
    "is": (
        "Vinsamlegast lokið hurðinni hljóðlega.",
        "Næsti fundur er á þriðjudaginn klukkan sex.",
        "Lyftan er biluð þar til á föstudag.",
        "Börn yngri en sex ára fá ókeypis.",
    ),
    "pl": (
        "Proszę cicho zamykać drzwi.",
        "Następne spotkanie będzie we wtorek.",
        "Zagubione klucze są u woźnego.",
        "Wyjście przez ogród, uwaga na próg.",
    ),
    "pt": (
        "A próxima reunião é na terça-feira.",
        "As crianças não pagam até aos seis anos.",
        "O elevador está avariado até amanhã.",
        "Não deixe bicicletas à porta, por favor.",
    ),
    "tr": (
        "Lütfen kapıyı sessizce kapatın.",
        "Asansör cuma gününe kadar çalışmıyor.",
        "Kayıp anahtarlar görevlide bulunur.",
        "Müze dükkânı yalnız öğleden sonra açıktır.",
    ),
}
