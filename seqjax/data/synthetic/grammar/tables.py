"""The words of both languages as tables."""

# Kind and gender: "english french" or "singular/plural french", "-" for no plural.
NOUNS = """
person m: man/men homme, king roi, doctor médecin, teacher professeur
person f: woman/women femme, queen reine, nurse infirmière, actress actrice
youth m: boy garçon, child/children enfant
youth f: girl fille
kin m: father/- père, brother frère, uncle oncle
kin f: mother/- mère, sister sœur, aunt tante
animal m: dog chien, cat chat, horse cheval, bird oiseau
animal f: cow vache, mouse/mice souris
fruit m: egg œuf, cake gâteau
fruit f: apple pomme, orange orange, tomato/tomatoes tomate, carrot carotte
dish m: bread/- pain, cheese/- fromage, fish/- poisson
dish f: meat/- viande, salad/- salade
drink m: milk/- lait, coffee/- café, tea/- thé
drink f: water/- eau, beer/- bière
text m: book livre, poem poème, article article
text f: letter lettre, story/stories histoire, song chanson
clothing m: hat chapeau, coat manteau
clothing f: shirt chemise, dress robe, shoe chaussure, scarf/scarves écharpe
thing m: knife/knives couteau, umbrella parapluie, computer ordinateur, glass verre
thing f: key clé, box boîte, plate assiette, bottle bouteille, lamp lampe
vehicle m: boat bateau, bicycle vélo
vehicle f: car voiture
furniture m: bed lit, piano piano
furniture f: table table, chair chaise
place m: market marché, hotel hôtel, hospital hôpital, museum musée, castle château
place m: garden jardin, park parc
place f: school école, church église, station gare, library/libraries bibliothèque
place f: house maison
"""
GROUPS = {
    "human": "person youth kin",
    "goods": "clothing thing furniture vehicle",
    "portable": "fruit dish drink text clothing thing",
}
# English, French masculine, irregular feminine: kinds of nouns. "<" stands before the
# noun, the others after it; ">" can join an adjective before it, and never has "very".
ADJECTIVES = """
<big grand: animal thing furniture vehicle place
<small petit: youth animal fruit goods place
<old vieux vieille: person animal goods place text
<young jeune: human animal
<new nouveau nouvelle: goods text place
<beautiful beau belle: animal goods place text
<good bon bonne: fruit dish drink text
<bad mauvais: fruit dish drink text
>red rouge: goods
>green vert: goods
>blue bleu: goods
>white blanc blanche: goods animal
>black noir: goods animal
>French français: person text dish
>English anglais: person text dish
>Italian italien italienne: person text dish
heavy lourd: thing furniture
expensive cher chère: goods
happy heureux heureuse: human
sad triste: human
tired fatigué: human animal
sick malade: human animal
kind gentil gentille: human animal
intelligent intelligent: human animal
strange étrange: animal thing text place
famous célèbre: person text place
interesting intéressant: text place
clean propre: goods place
dirty sale: goods place
>broken cassé: thing furniture
>delicious délicieux délicieuse: fruit dish drink
hot chaud: drink
cold froid: drink
"""
# A sentence has at most one word of each topic, so that no cold milk is hot.
TOPICS = """
big small, old young new, good bad delicious, clean dirty, hot cold, happy sad,
red green blue white black, French English Italian
"""
# English base, past, French infinitive; for irregular verbs the participle and the
# present of je tu il ils. "+" takes être, "-" has no past, "_" is a space.
TRANSITIVE = """
see saw voir vu vois vois voit voient: human animal thing vehicle
look_at looked_at regarder: person youth animal thing clothing vehicle
love loved aimer: kin animal fruit dish drink text clothing place
look_for looked_for chercher: human animal clothing thing text place
find found trouver: animal clothing thing text place
have - avoir eu ai as a ont: animal goods text
buy bought acheter acheté achète achètes achète achètent: portable vehicle
sell sold vendre: fruit dish goods animal
lose lost perdre: clothing thing text
wear wore porter: clothing
eat ate manger: fruit dish
drink drank boire bu bois bois boit boivent: drink
read - lire lu lis lis lit lisent: text
write wrote écrire écrit écris écris écrit écrivent: text
know - connaître connu connais connais connaît connaissent: human place
visit visited visiter: place
help helped aider: human
wait_for waited_for attendre: person kin
choose chose choisir choisi choisis choisis choisit choisissent: fruit goods
take took prendre pris prends prends prend prennent: fruit clothing thing text
break broke casser: thing furniture
wash washed laver: clothing vehicle
"""
GIVING = """
give gave donner: fruit clothing thing text
show showed montrer: clothing thing vehicle text animal place
"""
# After the colon: "animal" if an animal can be the subject.
DOING = """
sleep slept dormir dormi dors dors dort dorment: animal
work worked travailler:
sing sang chanter:
dance danced danser:
run ran courir couru cours cours court courent: animal
fall fell +tomber: animal
rest rested se_reposer: animal
stop stopped se_arrêter: animal
"""
# After the colon: the prepositions, "_" for none.
GOING = """
go went +aller allé vais vas va vont: to à
come came +venir venu viens viens vient viennent: from de
arrive arrived +arriver: at à
enter entered +entrer: _ dans
"""
CLAIMING = """
think - penser:
say - dire dit dis dis dit disent:
"""
NAMES = "Paul m, Marc m, Antoine m, Simon m, Marie f, Julie f, Alice f, Emma f"
# English subject, object, possessive; French subject, object, dative, possessives.
PRONOUNS = """
I me my je me me mon ma mes
you you your tu te te ton ta tes
he him his il le lui son sa ses
she her her elle la lui son sa ses
they them their ils les leur leur leur leurs
"""
# Masculine, feminine, their plurals; bars separate alternatives.
DETERMINERS = {
    "the": "the=le, the=la, the=les, the=les",
    "a": "a=un, a=une, some=des, some=des",
    "a before": "a=un, a=une, some=de, some=de",
    "no": "a=de, a=de, any=de, any=de",
    "mass": "some=de le, some=de la",
    "no mass": "any=de, any=de",
    "this": "this=ce, this=cette, these=ces, these=ces",
    "which": "which=quel, which=quelle, which=quels, which=quelles",
    "how many": "=, =, how many=combien de, how many=combien de",
    "many": "=, =, many=beaucoup de, many=beaucoup de",
    "all": "=, =, all the=tous les, all the=toutes les",
    "number": "=, =, two=deux, two=deux | =, =, three=trois, three=trois",
}
TIMES = {
    "present": "every day=tous les jours, in the morning=le matin",
    "past": "yesterday=hier, last week=la semaine dernière, this morning=ce matin",
    "later": "tomorrow=demain, next week=la semaine prochaine, this evening=ce soir",
    "now": "today=aujourd'hui, now=maintenant",
}
# By person: I, you, he, they.
BE = {"present": ("am", "are", "is", "are"), "past": ("was", "were", "was", "were")}
FINITE = {
    "avoir": ("ai", "as", "a", "ont"),
    "être": ("suis", "es", "est", "sont"),
    "future": ("vais", "vas", "va", "vont"),
    "can": ("peux", "peux", "peut", "peuvent"),
    "must": ("dois", "dois", "doit", "doivent"),
}
WAS = ("étais", "étais", "était", "étaient")
SELF = ("me", "te", "se", "se")
NEVER = {"": "", "pas": "not", "jamais": "never"}
