# ruff: noqa: E501  # an entry is a line, however long
"""The words, each in four languages, with the forms that cannot be computed.

A line is one entry; ``|`` stands between English, German, Spanish, French and tags, and ``_`` for a space within
a form. What begins with ``@`` says how the word governs others or inflects, and what with ``+`` always follows
it.
"""

from __future__ import annotations

from sentences.meaning import Entry, Word


def _word(text: str) -> Word:
    parts = [part.replace("_", " ") for part in text.split()]
    return Word(
        tuple(part for part in parts if part[0] not in "@+"),
        tuple(part for part in parts if part[0] in "@+"),
    )


def _entries(table: str) -> dict[str, Entry]:
    """Reads a table; an entry is called by its first English form, or by ``@name`` in its tags."""
    entries = {}
    for line in table.strip().splitlines():
        en, de, es, fr, *tags = line.split("|")
        words = tags[0].split() if tags else []
        entry = Entry(_word(en), _word(de), _word(es), _word(fr), tuple(w for w in words if w[0] != "@"))
        name = next((word[1:] for word in words if word[0] == "@"), entry.key)
        if name in entries:
            raise ValueError(f"lexicon: {name!r} is listed twice")
        entries[name] = entry
    return entries


# singular plural | gender singular plural (@n: the other cases of the singular end in -n or -en) | gender ... |
# gender ... | tags. Of mass nouns, the plural is "-".
NOUNS = _entries("""
man men | m Mann Männer | m hombre hombres | m homme hommes | person adult
woman women | f Frau Frauen | f mujer mujeres | f femme femmes | person adult
boy boys | m Junge Jungen @n | m chico chicos | m garçon garçons | person child
girl girls | n Mädchen Mädchen | f chica chicas | f fille filles | person child
child children | n Kind Kinder | m niño niños | m enfant enfants | person child
teacher teachers | m Lehrer Lehrer | m profesor profesores | m professeur professeurs | person adult
doctor doctors | m Arzt Ärzte | m médico médicos | m médecin médecins | person adult
neighbour neighbours | m Nachbar Nachbarn @n | m vecino vecinos | m voisin voisins | person adult
student students | m Student Studenten @en | m estudiante estudiantes | m étudiant étudiants | person adult
nurse nurses | f Krankenschwester Krankenschwestern | f enfermera enfermeras | f infirmière infirmières | person adult
waiter waiters | m Kellner Kellner | m camarero camareros | m serveur serveurs | person
brother brothers | m Bruder Brüder | m hermano hermanos | m frère frères | kin adult
sister sisters | f Schwester Schwestern | f hermana hermanas | f sœur sœurs | kin adult
mother mothers | f Mutter Mütter | f madre madres | f mère mères | kin adult
father fathers | m Vater Väter | m padre padres | m père pères | kin adult
uncle uncles | m Onkel Onkel | m tío tíos | m oncle oncles | kin adult
aunt aunts | f Tante Tanten | f tía tías | f tante tantes | kin adult
grandmother grandmothers | f Großmutter Großmütter | f abuela abuelas | f grand-mère grands-mères | kin adult
son sons | m Sohn Söhne | m hijo hijos | m fils fils | kin child
daughter daughters | f Tochter Töchter | f hija hijas | f fille filles | kin child
dog dogs | m Hund Hunde | m perro perros | m chien chiens | animal
cat cats | f Katze Katzen | m gato gatos | m chat chats | animal
bird birds | m Vogel Vögel | m pájaro pájaros | m oiseau oiseaux | animal
horse horses | n Pferd Pferde | m caballo caballos | m cheval chevaux | animal
book books | n Buch Bücher | m libro libros | m livre livres | lies
newspaper newspapers | f Zeitung Zeitungen | m periódico periódicos | m journal journaux | lies
letter letters | m Brief Briefe | f carta cartas | f lettre lettres | lies
key keys | m Schlüssel Schlüssel | f llave llaves | f clé clés | lies
bag bags | f Tasche Taschen | m bolso bolsos | m sac sacs | stands
coat coats | m Mantel Mäntel | m abrigo abrigos | m manteau manteaux | lies
hat hats | m Hut Hüte | m sombrero sombreros | m chapeau chapeaux | lies
shirt shirts | n Hemd Hemden | f camisa camisas | f chemise chemises | lies
shoe shoes | m Schuh Schuhe | m zapato zapatos | f chaussure chaussures | stands
watch watches | f Uhr Uhren | m reloj relojes | f montre montres | lies
telephone telephones | n Telefon Telefone | m teléfono teléfonos | m téléphone téléphones | lies
computer computers | m Computer Computer | m ordenador ordenadores | m ordinateur ordinateurs | stands
photo photos | n Foto Fotos | f foto fotos | f photo photos | lies
umbrella umbrellas | m Regenschirm Regenschirme | m paraguas paraguas | m parapluie parapluies | lies
flower flowers | f Blume Blumen | f flor flores | f fleur fleurs | stands
lamp lamps | f Lampe Lampen | f lámpara lámparas | f lampe lampes | stands
cup cups | f Tasse Tassen | f taza tazas | f tasse tasses | stands
plate plates | m Teller Teller | m plato platos | f assiette assiettes | stands
bottle bottles | f Flasche Flaschen | f botella botellas | f bouteille bouteilles | stands
box boxes | f Kiste Kisten | f caja cajas | f boîte boîtes | stands
chair chairs | m Stuhl Stühle | f silla sillas | f chaise chaises | stands
table tables | m Tisch Tische | f mesa mesas | f table tables | stands
bed beds | n Bett Betten | f cama camas | m lit lits | stands
sofa sofas | n Sofa Sofas | m sofá sofás | m canapé canapés | stands
door doors | f Tür Türen | f puerta puertas | f porte portes |
window windows | n Fenster Fenster | f ventana ventanas | f fenêtre fenêtres |
house houses | n Haus Häuser | f casa casas | f maison maisons |
tree trees | m Baum Bäume | m árbol árboles | m arbre arbres |
car cars | n Auto Autos | m coche coches | f voiture voitures | stands
bicycle bicycles | n Fahrrad Fahrräder | f bicicleta bicicletas | m vélo vélos | stands
train trains | m Zug Züge | m tren trenes | m train trains |
bus buses | m Bus Busse | m autobús autobuses | m bus bus |
film films | m Film Filme | f película películas | m film films |
concert concerts | n Konzert Konzerte | m concierto conciertos | m concert concerts |
song songs | n Lied Lieder | f canción canciones | f chanson chansons |
apple apples | m Apfel Äpfel | f manzana manzanas | f pomme pommes | food
egg eggs | n Ei Eier | m huevo huevos | m œuf œufs | food
orange oranges | f Orange Orangen | f naranja naranjas | f orange oranges | food
tomato tomatoes | f Tomate Tomaten | m tomate tomates | f tomate tomates | food
cake cakes | m Kuchen Kuchen | m pastel pasteles | m gâteau gâteaux | food
soup soups | f Suppe Suppen | f sopa sopas | f soupe soupes | food
bread - | n Brot - | m pan - | m pain - | food
cheese - | m Käse - | m queso - | m fromage - | food
fish - | m Fisch - | m pescado - | m poisson - | food
rice - | m Reis - | m arroz - | m riz - | food
water - | n Wasser - | f agua - @el | f eau - | drink
milk - | f Milch - | f leche - | m lait - | drink
coffee - | m Kaffee - | m café - | m café - | drink
tea - | m Tee - | m té - | m thé - | drink
juice - | m Saft - | m zumo - | m jus - | drink
wine - | m Wein - | m vino - | m vin - | drink
kitchen kitchens | f Küche Küchen | f cocina cocinas | f cuisine cuisines | room
living_room living_rooms | n Wohnzimmer Wohnzimmer | m salón salones | m salon salons | room
garden gardens | m Garten Gärten | m jardín jardines | m jardin jardins |
park parks | m Park Parks | m parque parques | m parc parcs |
school @bare schools | f Schule Schulen | f escuela escuelas | f école écoles |
library libraries | f Bibliothek Bibliotheken | f biblioteca bibliotecas | f bibliothèque bibliothèques |
museum museums | n Museum Museen | m museo museos | m musée musées |
office offices | n Büro Büros | f oficina oficinas | m bureau bureaux |
restaurant restaurants | n Restaurant Restaurants | m restaurante restaurantes | m restaurant restaurants |
hotel hotels | n Hotel Hotels | m hotel hoteles | m hôtel hôtels |
market markets | m Markt Märkte | m mercado mercados | m marché marchés |
supermarket supermarkets | m Supermarkt Supermärkte | m supermercado supermercados | m supermarché supermarchés |
bakery bakeries | f Bäckerei Bäckereien | f panadería panaderías | f boulangerie boulangeries |
station stations | m Bahnhof Bahnhöfe | f estación estaciones | f gare gares |
hospital hospitals | n Krankenhaus Krankenhäuser | m hospital hospitales | m hôpital hôpitaux |
theatre theatres | n Theater Theater | m teatro teatros | m théâtre théâtres |
church churches | f Kirche Kirchen | f iglesia iglesias | f église églises |
beach beaches | m Strand Strände | f playa playas | f plage plages |
lake lakes | m See Seen | m lago lagos | m lac lacs |
city cities | f Stadt Städte | f ciudad ciudades | f ville villes |
street streets | f Straße Straßen | f calle calles | f rue rues |
""")

# The tags hold the gender; of cities there is none to show.
NAMES = _entries("""
Anna | Anna | Anna | Anna | f
Laura | Laura | Laura | Laura | f
Julia | Julia | Julia | Julia | f
Eva | Eva | Eva | Eva | f
Paul | Paul | Paul | Paul | m
David | David | David | David | m
Martin | Martin | Martin | Martin | m
Daniel | Daniel | Daniel | Daniel | m
""")

# positive comparative (if not with more) | positive comparative | masculine feminine and their plurals (@estar:
# a state) | the same (and the masculine before a vowel; @before: stands before its noun) | the nouns it fits.
ADJECTIVES = _entries("""
big bigger | groß größer | grande grande grandes grandes | grand grande grands grandes @before | house garden table box bag dog kitchen window hotel bed tree city park lamp
small smaller | klein kleiner | pequeño pequeña pequeños pequeñas | petit petite petits petites @before | house garden table box bag dog cat bird kitchen window hotel bed tree lamp church
old older | alt älter | viejo vieja viejos viejas | vieux vieille vieux vieilles vieil @before | house car bicycle book coat shoe computer telephone chair table bed sofa lamp watch hat bag church
new newer | neu neuer | nuevo nueva nuevos nuevas | nouveau nouvelle nouveaux nouvelles nouvel @before | house car bicycle book coat shoe computer telephone chair table bed sofa lamp watch hat bag shirt
beautiful | schön schöner | bonito bonita bonitos bonitas | beau belle beaux belles bel @before | house garden flower city park photo song church horse bird beach lamp
red | rot | rojo roja rojos rojas | rouge rouge rouges rouges | car bicycle coat hat shirt shoe bag cup door umbrella flower chair
blue | blau | azul azul azules azules | bleu bleue bleus bleues | car bicycle coat hat shirt shoe bag cup door umbrella plate
green | grün | verde verde verdes verdes | vert verte verts vertes | car bicycle coat hat shirt bag cup door sofa chair
black | schwarz | negro negra negros negras | noir noire noirs noires | car coat hat shoe bag umbrella dog cat horse
white | weiß | blanco blanca blancos blancas | blanc blanche blancs blanches | house shirt cup plate cat horse flower
yellow | gelb | amarillo amarilla amarillos amarillas | jaune jaune jaunes jaunes | car shirt bag cup umbrella flower
expensive | teuer teurer @teur | caro cara caros caras | cher chère chers chères | car house watch coat shoe hotel restaurant computer bag wine
heavy heavier | schwer schwerer | pesado pesada pesados pesadas | lourd lourde lourds lourdes | bag box table bed book sofa
hot | heiß heißer | caliente caliente calientes calientes @estar | chaud chaude chauds chaudes | soup coffee tea water
cold | kalt kälter | frío fría fríos frías @estar | froid froide froids froides | soup coffee tea water milk
fresh | frisch frischer | fresco fresca frescos frescas @estar | frais fraîche frais fraîches | bread milk fish egg cheese
clean | sauber | limpio limpia limpios limpias @estar | propre propre propres propres | kitchen window car shirt cup plate shoe street
dirty | schmutzig | sucio sucia sucios sucias @estar | sale sale sales sales | kitchen window car shirt cup plate shoe street
empty | leer | vacío vacía vacíos vacías @estar | vide vide vides vides | bottle box bag cup train bus restaurant
full | voll | lleno llena llenos llenas @estar | plein pleine pleins pleines | bottle box bag train bus restaurant
broken | kaputt | roto rota rotos rotas @estar | cassé cassée cassés cassées | lamp watch telephone computer bicycle chair umbrella window
open | offen | abierto abierta abiertos abiertas @estar | ouvert ouverte ouverts ouvertes | door window
closed | geschlossen | cerrado cerrada cerrados cerradas @estar | fermé fermée fermés fermées | door window museum library restaurant supermarket bakery
interesting | interessant interessanter | interesante interesante interesantes interesantes | intéressant intéressante intéressants intéressantes | book film museum letter newspaper
boring | langweilig langweiliger | aburrido aburrida aburridos aburridas | ennuyeux ennuyeuse ennuyeux ennuyeuses | book film museum concert
long longer | lang länger | largo larga largos largas | long longue longs longues @before | letter film song street
short shorter | kurz kürzer | corto corta cortos cortas | court courte courts courtes | letter film song
fast faster | schnell schneller | rápido rápida rápidos rápidas | rapide rapide rapides rapides | car train bus bicycle horse computer
slow slower | langsam langsamer | lento lenta lentos lentas | lent lente lents lentes | car train bus bicycle horse computer
famous | berühmt berühmter | famoso famosa famosos famosas | célèbre célèbre célèbres célèbres | museum church restaurant hotel song
young younger | jung jünger | joven joven jóvenes jóvenes | jeune jeune jeunes jeunes @before | man woman teacher doctor nurse
tall taller | groß größer | alto alta altos altas | grand grande grands grandes @before | man woman boy girl
friendly friendlier | freundlich freundlicher | amable amable amables amables | aimable aimable aimables aimables | teacher doctor neighbour waiter nurse
strong stronger | stark stärker | fuerte fuerte fuertes fuertes | fort forte forts fortes | man boy horse
tired | müde müder @müd | cansado cansada cansados cansadas @estar | fatigué fatiguée fatigués fatiguées | .mood
ill | krank | enfermo enferma enfermos enfermas @estar | malade malade malades malades | .mood
happy | glücklich glücklicher | feliz feliz felices felices @estar | heureux heureuse heureux heureuses | .mood
sad | traurig trauriger | triste triste tristes tristes @estar | triste triste tristes tristes | .mood
""")

# base third-person past | infinitive I he participle auxiliary (and the simple past I, they where it is the one in
# use; a dot after a separable prefix) | infinitive, I he we they of the present, of the past, stem of the future |
# infinitive, I he we they, participle auxiliary stem-of-the-future (and I he we they of the imperfect).
VERBS = _entries("""
be is was | sein bin ist gewesen sein war waren | ser soy es somos son era era éramos eran ser | être suis est sommes sont été avoir ser étais était étions étaient | @be
be is was | sein bin ist gewesen sein war waren | estar estoy está estamos están estaba estaba estábamos estaban estar | être suis est sommes sont été avoir ser étais était étions étaient | @be_in_state
be is was | stehen stehe steht gestanden haben stand standen | estar estoy está estamos están estaba estaba estábamos estaban estar | être suis est sommes sont été avoir ser étais était étions étaient | @stand
be is was | liegen liege liegt gelegen haben lag lagen | estar estoy está estamos están estaba estaba estábamos estaban estar | être suis est sommes sont été avoir ser étais était étions étaient | @lie
buy buys bought | kaufen kaufe kauft gekauft haben | comprar compro compra compramos compran compré compró compramos compraron comprar | acheter achète achète achetons achètent acheté avoir achèter
sell sells sold | verkaufen verkaufe verkauft verkauft haben | vender vendo vende vendemos venden vendí vendió vendimos vendieron vender | vendre vends vend vendons vendent vendu avoir vendr
eat eats ate | essen esse isst gegessen haben | comer como come comemos comen comí comió comimos comieron comer | manger mange mange mangeons mangent mangé avoir manger
drink drinks drank | trinken trinke trinkt getrunken haben | beber bebo bebe bebemos beben bebí bebió bebimos bebieron beber | boire bois boit buvons boivent bu avoir boir
read reads read | lesen lese liest gelesen haben | leer leo lee leemos leen leí leyó leímos leyeron leer | lire lis lit lisons lisent lu avoir lir
see sees saw | sehen sehe sieht gesehen haben | ver veo ve vemos ven vi vio vimos vieron ver | voir vois voit voyons voient vu avoir verr
find finds found | finden finde findet gefunden haben | encontrar encuentro encuentra encontramos encuentran encontré encontró encontramos encontraron encontrar | trouver trouve trouve trouvons trouvent trouvé avoir trouver
look_for looks_for looked_for | suchen suche sucht gesucht haben | buscar busco busca buscamos buscan busqué buscó buscamos buscaron buscar | chercher cherche cherche cherchons cherchent cherché avoir chercher
lose loses lost | verlieren verliere verliert verloren haben | perder pierdo pierde perdemos pierden perdí perdió perdimos perdieron perder | perdre perds perd perdons perdent perdu avoir perdr
forget forgets forgot | vergessen vergesse vergisst vergessen haben | olvidar olvido olvida olvidamos olvidan olvidé olvidó olvidamos olvidaron olvidar | oublier oublie oublie oublions oublient oublié avoir oublier
repair repairs repaired | reparieren repariere repariert repariert haben | reparar reparo repara reparamos reparan reparé reparó reparamos repararon reparar | réparer répare répare réparons réparent réparé avoir réparer
wash washes washed | waschen wasche wäscht gewaschen haben | lavar lavo lava lavamos lavan lavé lavó lavamos lavaron lavar | laver lave lave lavons lavent lavé avoir laver
clean cleans cleaned | putzen putze putzt geputzt haben | limpiar limpio limpia limpiamos limpian limpié limpió limpiamos limpiaron limpiar | nettoyer nettoie nettoie nettoyons nettoient nettoyé avoir nettoier
open opens opened | öffnen öffne öffnet geöffnet haben | abrir abro abre abrimos abren abrí abrió abrimos abrieron abrir | ouvrir ouvre ouvre ouvrons ouvrent ouvert avoir ouvrir
close closes closed | schließen schließe schließt geschlossen haben | cerrar cierro cierra cerramos cierran cerré cerró cerramos cerraron cerrar | fermer ferme ferme fermons ferment fermé avoir fermer
visit visits visited | besuchen besuche besucht besucht haben | visitar visito visita visitamos visitan visité visitó visitamos visitaron visitar | visiter visite visite visitons visitent visité avoir visiter
carry carries carried | tragen trage trägt getragen haben | llevar llevo lleva llevamos llevan llevé llevó llevamos llevaron llevar | porter porte porte portons portent porté avoir porter
help helps helped | helfen helfe hilft geholfen haben @dat | ayudar ayudo ayuda ayudamos ayudan ayudé ayudó ayudamos ayudaron ayudar | aider aide aide aidons aident aidé avoir aider
call calls called | an.rufen rufe ruft an.gerufen haben | llamar llamo llama llamamos llaman llamé llamó llamamos llamaron llamar | appeler appelle appelle appelons appellent appelé avoir appeller
wait_for waits_for waited_for | warten warte wartet gewartet haben @auf | esperar espero espera esperamos esperan esperé esperó esperamos esperaron esperar | attendre attends attend attendons attendent attendu avoir attendr
give gives gave | geben gebe gibt gegeben haben | dar doy da damos dan di dio dimos dieron dar | donner donne donne donnons donnent donné avoir donner
show shows showed | zeigen zeige zeigt gezeigt haben | mostrar muestro muestra mostramos muestran mostré mostró mostramos mostraron mostrar | montrer montre montre montrons montrent montré avoir montrer
send sends sent | schicken schicke schickt geschickt haben | enviar envío envía enviamos envían envié envió enviamos enviaron enviar | envoyer envoie envoie envoyons envoient envoyé avoir enverr
bring brings brought | bringen bringe bringt gebracht haben | traer traigo trae traemos traen traje trajo trajimos trajeron traer | apporter apporte apporte apportons apportent apporté avoir apporter
play plays played | spielen spiele spielt gespielt haben | jugar juego juega jugamos juegan jugué jugó jugamos jugaron jugar | jouer joue joue jouons jouent joué avoir jouer
work works worked | arbeiten arbeite arbeitet gearbeitet haben | trabajar trabajo trabaja trabajamos trabajan trabajé trabajó trabajamos trabajaron trabajar | travailler travaille travaille travaillons travaillent travaillé avoir travailler
sleep sleeps slept | schlafen schlafe schläft geschlafen haben | dormir duermo duerme dormimos duermen dormí durmió dormimos durmieron dormir | dormir dors dort dormons dorment dormi avoir dormir
sing sings sang | singen singe singt gesungen haben | cantar canto canta cantamos cantan canté cantó cantamos cantaron cantar | chanter chante chante chantons chantent chanté avoir chanter
dance dances danced | tanzen tanze tanzt getanzt haben | bailar bailo baila bailamos bailan bailé bailó bailamos bailaron bailar | danser danse danse dansons dansent dansé avoir danser
go goes went | gehen gehe geht gegangen sein | ir voy va vamos van fui fue fuimos fueron ir | aller vais va allons vont allé être ir
can can could | können kann kann gekonnt haben | poder puedo puede podemos pueden pude pudo pudimos pudieron podr | pouvoir peux peut pouvons peuvent pu avoir pourr
must must had_to | müssen muss muss gemusst haben musste mussten | tener_que tengo_que tiene_que tenemos_que tienen_que tuve_que tuvo_que tuvimos_que tuvieron_que tendr | devoir dois doit devons doivent dû avoir devr
want_to wants_to wanted_to | wollen will will gewollt haben wollte wollten | querer quiero quiere queremos quieren quería quería queríamos querían querr | vouloir veux veut voulons veulent voulu avoir voudr voulais voulait voulions voulaient
""")

# Where "often" stands in English and Spanish is up to the language: @early before the verb.
TIMES = _entries("""
yesterday | gestern | ayer | hier | past day
last_night | gestern_Abend | anoche | hier_soir | past day
two_days_ago | vor_zwei_Tagen | hace_dos_días | il_y_a_deux_jours | past day
last_Monday | letzten_Montag | el_lunes_pasado | lundi_dernier | past day
last_Friday | letzten_Freitag | el_viernes_pasado | vendredi_dernier | past day
last_week | letzte_Woche | la_semana_pasada | la_semaine_dernière | past
last_month | letzten_Monat | el_mes_pasado | le_mois_dernier | past
tomorrow | morgen | mañana | demain | future day
this_evening | heute_Abend | esta_noche | ce_soir | future day
next_Monday | nächsten_Montag | el_próximo_lunes | lundi_prochain | future day
next_Friday | nächsten_Freitag | el_próximo_viernes | vendredi_prochain | future day
next_week | nächste_Woche | la_próxima_semana | la_semaine_prochaine | future
next_month | nächsten_Monat | el_próximo_mes | le_mois_prochain | future
next_year | nächstes_Jahr | el_próximo_año | l'année_prochaine | future long
every_day | jeden_Tag | todos_los_días | tous_les_jours | present
every_morning | jeden_Morgen | todas_las_mañanas | tous_les_matins | present
every_week | jede_Woche | todas_las_semanas | toutes_les_semaines | present
on_Saturdays | samstags | los_sábados | le_samedi | present
on_Sundays | sonntags | los_domingos | le_dimanche | present
often @early | oft | a_menudo | souvent @early | present
always @early | immer | siempre @early | toujours @early | present
today | heute | hoy | aujourd'hui | now
""")

# German prepositions with their case.
PREPOSITIONS = _entries("""
on | auf dat | sobre | sur
under | unter dat | debajo_de | sous
behind | hinter dat | detrás_de | derrière
in_front_of | vor dat | delante_de | devant
next_to | neben dat | al_lado_de | à_côté_de
""")

# Which prepositions a place takes, for being there and for going there: in English, German and French. Spanish
# always has en and a.
_PLACES = """
kitchen in to | in in | dans dans
living_room in to | in in | dans dans
garden in to | in in | dans dans
park in to | in in | dans à
school at to | in in | à à
library in to | in in | à à
museum in to | in in | à à
office in to | in in | à à
restaurant in to | in in | à à
hotel in to | in in | à à
market at to | auf auf | à à
supermarket in to | in zu | à à
bakery in to | in zu | à à
station at to | an zu | à à
hospital in to | in in | à à
theatre in to | in in | à à
church in to | in in | dans à
beach at to | an zu | à à
lake at to | an zu | à à
city in to | in in | dans en
street in - | auf - | dans -
"""


def _places() -> dict[str, tuple[Entry, Entry]]:
    """Returns place -> prepositions for being there and for going there."""
    places = {}
    for line in _PLACES.strip().splitlines():
        en, de, fr = (part.split() for part in line.split("|"))
        there, going = (
            Entry(_word(en[1 + i]), _word(f"{de[i]} {case}"), _word(["en", "a"][i]), _word(fr[i]))
            for i, case in ((0, "dat"), (1, "dat" if de[1] == "zu" else "acc"))
        )
        places[en[0].replace("_", " ")] = (there, going)
    return places


PLACES = _places()
