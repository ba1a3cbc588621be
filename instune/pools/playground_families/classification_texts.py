"""The messages of the text categorization tasks, by class, and the phrases around them."""

OPENINGS = ("Hello,", "Good morning.", "Hi there!", "Dear team,", "Sorry to bother you.", "One more thing:")
HELD_OUT_OPENINGS = (
    "To whom it may concern:",
    "Greetings.",
    "Quick note.",
    "Kind people,",
    "This is urgent!",
    "As I said before,",
)
CLOSINGS = ("Thanks.", "Please answer soon.", "Best wishes", "What should I do?", "I look forward to your reply.")
NEWS_OPENINGS = ("Just in:", "Our reporter writes:", "This morning:", "Late edition.", "From the wire:")
NEWS_CLOSINGS = ("More follows.", "Read on inside.", "Our comment comes later.", "Pictures on the next page.")
HELD_OUT_CLOSINGS = ("I count on you.", "Yours faithfully", "Could somebody look into it?", "Many regards", "Waiting to hear.")

BANK = {
    "card": (
        "The machine swallowed my plastic and will not give it back.",
        "The chip is scratched and no shop reads it any more.",
        "I forgot my PIN after the holidays.",
        "Someone may have copied my number at a petrol pump, please block it.",
        "The new one has not come by post, and the old one expires tomorrow.",
    ),
    "loan": (
        "I would like to borrow nine thousand for a new roof.",
        "What interest would I pay if I bought a car over four years?",
        "Can I pay back what I owe earlier than agreed?",
        "My monthly instalment is too high since I lost my job.",
        "How much would you lend a couple for their first flat?",
    ),
    "transfer": (
        "The rent that I sent on Monday has not reached my landlord.",
        "I sent money to the wrong person by mistake.",
        "How long does a payment to a friend in Canada take?",
        "The same sum went out to the shop twice.",
        "I want to set up a standing order to my daughter.",
    ),
    "account": (
        "I want to close everything and leave your bank.",
        "Please change my address, I moved last week.",
        "My daughter turned twelve and should have a first place for her savings.",
        "Online banking locked me out after three wrong passwords.",
        "I married and need my new surname in your books.",
    ),
}
NEWS = {
    "sport": (
        "The home side scored twice in the last minute.",
        "The swimmer broke her own record in the final.",
        "The coach was dismissed after five defeats.",
        "The marathon was won by an unknown runner.",
        "The striker will miss the cup match with a bad knee.",
    ),
    "weather": (
        "Heavy snow is expected above five hundred metres.",
        "A storm from the west will bring gusts and hail.",
        "It stays dry and mild until the weekend.",
        "Fog in the valleys will clear by noon.",
        "This was the hottest June since records began.",
    ),
    "politics": (
        "Parliament passed the new pension law by a narrow vote.",
        "The minister stepped down over the report.",
        "Two parties agreed to form a coalition.",
        "The mayor will not stand in the next election.",
        "The president signed the treaty with the neighbours.",
    ),
    "business": (
        "The carmaker will close two factories.",
        "Shares in the airline fell by a tenth.",
        "The bakery chain was sold to a rival.",
        "Profits of the phone maker doubled.",
        "Unions and owners of the steel mill agreed on wages.",
    ),
}
SHOP = {
    "delivery": (
        "The parcel should have been here on Tuesday.",
        "The driver left the box in the rain at the wrong house.",
        "When will the sofa be brought?",
        "Tracking has shown the same depot for a week.",
        "Can the courier come in the evening?",
    ),
    "refund": (
        "I sent the boots back and still wait for my money.",
        "Please give me back what I paid, the cups are ugly.",
        "You promised to repay the difference in price.",
        "I was charged for two shirts but kept one.",
        "How do I return a gift and get the sum on my card?",
    ),
    "product": (
        "Is this jacket made of real wool?",
        "Does the drill come with a battery?",
        "How wide is the bookcase?",
        "Do you have the blue mug in a larger size?",
        "Which of the two tents is lighter?",
    ),
    "login": (
        "My password is not accepted on your site.",
        "The code to sign in never arrives.",
        "Your page says that my user name does not exist.",
        "I cannot get into my profile since the update.",
        "Someone else seems to use my profile, please lock it.",
    ),
}
GYM = {
    "membership": (
        "I would like to quit at the end of the year.",
        "Do students pay less per month?",
        "Can I pause my contract while I am abroad?",
        "How do I upgrade from the basic plan?",
        "Is there a price for couples who join together?",
    ),
    "classes": (
        "Is the yoga hour on Friday full?",
        "Who teaches spinning this week?",
        "I missed pilates, can I come to another group?",
        "At what time does boxing for beginners start?",
        "Please add a dance lesson in the evening.",
    ),
    "equipment": (
        "Two of the treadmills make a loud noise.",
        "The rowing machine has a loose seat.",
        "There are not enough heavy dumbbells.",
        "The cable on the pull-down tower is frayed.",
        "A screen on a bike shows nothing.",
    ),
    "hygiene": (
        "The showers smell of mould.",
        "Nobody empties the bins in the changing room.",
        "There was hair all over the sink.",
        "The mats are sticky with sweat.",
        "Soap has been missing for days.",
    ),
}
CITY = {
    "streets": (
        "A deep pothole in Mill Lane damages every bicycle.",
        "The kerb at the crossing has crumbled.",
        "The asphalt before our gate has sunk.",
        "The zebra crossing is so faded that cars race over it.",
        "The traffic light at the bridge stays red for ever.",
    ),
    "garbage": (
        "Our bins were not collected this fortnight.",
        "Somebody dumped old mattresses in the alley.",
        "The bottle bank overflows and glass lies about.",
        "Where can I throw away a broken fridge?",
        "Rubbish bags have been torn open by foxes.",
    ),
    "greenery": (
        "A branch of the lime tree in the park is about to fall.",
        "The hedge by the playground has grown over the path.",
        "Nobody waters the young maples.",
        "The flower beds at the station are full of weeds.",
        "The lawn in the park has not been mown since spring.",
    ),
    "noise": (
        "The bar below us plays loud music until three.",
        "A neighbour's dog barks all night.",
        "Drilling on the building site starts at five in the morning.",
        "Motorbikes roar round the block and wake the baby.",
        "The club's bass makes our windows rattle after midnight.",
    ),
}
MUSEUM = {
    "admission": (
        "What does a ticket cost for pensioners?",
        "Is entry free on the first Sunday?",
        "I booked online but got no ticket by mail.",
        "Do children under six have to pay to get in?",
        "Until what hour do you let people in on Thursdays?",
    ),
    "tours": (
        "Can a guide lead our group of twenty in French?",
        "How long does the walk with the guide take?",
        "Our school would like to be shown round by an expert.",
        "Do audio guides exist in Polish?",
        "The guided walk on Saturday was cancelled, is there another?",
    ),
    "exhibits": (
        "Who painted the portrait in the third room?",
        "Why has the dinosaur skeleton been taken off display?",
        "How old is the bronze helmet by the stairs?",
        "Will the mummies be shown again?",
        "The label beside the vase names the wrong century.",
    ),
    "cafeteria": (
        "Is there vegan cake at the counter?",
        "The coffee was cold and the waiter rude.",
        "Can we eat our own sandwiches at your tables?",
        "Do you serve soup in winter?",
        "Lunch on the terrace took an hour to come.",
    ),
}
