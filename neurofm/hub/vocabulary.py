"""Words that labels, tasks, sessions and channels are made of, and that name nobody.

What is made of other words may be a name: nobody's rule can tell "Novak" from a word. Such texts
are shown to whoever publishes (`review`). A word that names people too (Mark, Rose, Jan) is none of
these.
"""

import re

from .people import WORDS

_WORDS = WORDS | {*"""
a abdomen above accumbens acq acquisition active activity ad add adhd adolescents adult adults
affected after afternoon afz age airflow alert alone alpha amplifier amyg amygdala an and anger
angry angular animal animals annot annotation annotations ant anterior anxious apnea area arith
arithmetic arm arms arousal array artefact artifact asd asleep at atlas attend attended attention
audio auditory auto awake awakening away axial bad bankssts baseline beat beep before begin
beginning below beta bilateral bipolar black blank blink blinks block blocks blue body boredom both
boundary brainstem break breath breathing bright brown burst button calcarine calculation
calibration calm cap car category caudal caudate ceeg cereb cerebellum channel channels child
children chin choice cingulate class clean clip closing code cold color colored commission condition
conditions congruent constant cont contact control controls correct cortex cortical count counting
cpz cross csf cue cued cuneus cut cyc cyclic cz dark decision deep default delay delta depression
depth design device devices diagnosis difficult difficulty dim direction disc disgust distractor
dominant dors dorsal dorsattn down drive drowsy drug dur duration dx e each ear earlobe early easy
ec ecg edge education ekg elderly electro electrode electrodes emg emotion emotional empty encoding
end ends entorhinal eog epilepsy epileptic epoch epochs equal erp error evening event events evoked
executed execution exhale experiment experimental expert extension eye eyeblink eyemovement
eyesclosed eyesopen face faces false familiar far fast fcz fear feedback feet field file filler
filtered finger fingers first fist fixate fixation fixed flash flex flexion flow foot for forward
fpz free frequency frequent from front frontal full fusiform fz gamble game gap gender generalized
gesture get gm go gonogo grasp grating gray green grey grip gyrus habituation half hand handed
handedness hands happiness happy hard hbo hbr head healthy hear heard heart height hemi hemisphere
heog heschl high hippocampus hit hold homo horizontal hot house houses hungry hyperventilation hypno
hypnogram hz i ictal idle ii iii image imagery images imagine imagined imagining in incongruent
incorrect index inf infants inferior inhale initial input instruction instructions insula inter
interictal interval intra introduction inverse is isthmus itch item iv iz joystick jump k key
keypress kids kind known l label labels language large last lat late lateral learn learned learning
least left leg legs length letter letters level lh lift light limbic line lingual linked lip list
listen listening little load lobe lobule local location long loss low lower lowpass m mag magnetic
main major mask mastoid match matching math mci meal mean medial medication meditation memory mental
mid middle mild min mini minor minus minute minutes miss missed mmn mode moderate month months mood
morning motion motor mouse mouth move movement movements movie multi muscle music naming nasal
native natural nback near negative net network networks neutral new next night no nogo noise non
none nonrem nontarget normal not nothing noun novel novelty now nrem null number numbers o object
objects occipital odd oddball odor of off old olfactory omission on one ongoing onset open opening
oper opercularis operculum or orb orbitalis orbitofrontal order orientation oro other out outside
over oz p pain painful pair pairs pallidum palm paracentral paradigm parahippocampal parcel parcels
parietal parkinson pars part passive patient pause pd pen perception pericalcarine phase phasic
phone photic photo picture pictures pinch place placebo plane planted play pleasant plus point pole
position positive post postcentral posterior poz practice precentral precuneus presence presentation
press pressed previous prime probe processing production prompt pseudo pulse pursuit putamen pvt pz
quiet r random rare rate rating raw reaction read reading real recall recognition record recovery
rectus red ref reference region regular rem repeat repeated repetition report reps resp respiration
response rest resting restingstate retention return reward rh right ring risk roi rois rolandic roll
rostral rotate rotation round s saccade sad sadness salv salventattn same sample sapiens scan scene
schizophrenia scrambled screen search second seconds see seed seen segment seizure self semantic
sensor sensory sentence sentences sequence series set severe sex shape shock short show side sight
signal silence silent similar simple simulated simulation single sit sitting size sleep slow small
smell smile smr social soft som somatomotor sommot song sound sounds source space spatial speak
speaking species speech speed spelling spike spindle spontaneous square squeeze ssvep stage stand
standard standing start state static status step steps stimulation stimuli stimulus stop story
stress stroke stroop subcortical submental subtraction success sulcus sup superior supp stacked
supramarginal surprise surround switch syllable symbol symmetric sync syncope tap tapping target
targets task taste temp tempar temporal test tests thalamus the theta thinking third thorax thought
thumb ticks time timeout to today toes tone tones tongue tonic touch track tracking trail training
transition transverse tri trial trials triangle triangularis trig trigger true turn two type typing
uncertain unfamiliar unit unpleasant unrelated up upper upright us v value van vas ventral
ventralmedial ventricle veog vep verb verbal vermis vertical video view vis vision visit visual
visuo voice vowel vs w wait wake walk walking warm watch water wave way weak wearing week weight
went white whole win window with wm word words work working wrist write wrong x y year years yellow
yes young z zero
""".split()}  # noqa: SIM905
# Words of titles and remarks besides, and what is called by none but models and archives.
_PROSE = frozenset("""
about above across adapted after against age all alpha also although among another any are as ask
atlas autoencoder backbone base based be because been before being below benchmark best beta better
between big brain brainmae brainomni brains brainvision but by can card checkpoint checkpoints
children clinical codebook codes cohort collection compared conv corpora corpus could csp data
dataset datasets decode decoded decoder decoders decodes decoding deep demo details dev devices do
does domain dora draft dreams each eeg eegnet either embedding embeddings encoder eng english ephys
epochs estimate evaluated evaluation every example examples experimental expert few fifteen final
fine finetuned five fleeg fmri foundation four fourteen from frozen further gave generation
generator given gives good gpt had has have he head held here holds hospital hours how however http
https huge human if in inference institute into it its itself kept lab laboratory labram large
larger latent law less license limits linear logistic lora made main make many masked max may
measured medium meg megatron meggpt method methods mine mini missing model models more most mu must
named nano neither network networks neural neuro neurobolt neurofm never nine nineteen no nor not
note nothing notice novel obtained offline one only openneuro ordinary original others our ours own
paper parcellation patients people per performance person pipeline please power predictions predicts
pretrained pretraining private probe protocol public published purpose quality quantile quantized
rather read reads reconstructed reconstruction recorded recordings regression release released
repository research results ridge riemann s sampled samples scans score scores second seen self
seven seventeen several shallow should signals since six sixteen small some spectrum still subjects
such svm synthesis synthesizer tangent ten terms than that their them then there these they thirty
this those though three tiny to tokenized tokenizer tokenizers tokens too trained training
transformer transformers twelve twenty two under university unknown unless unseen untested until use
used user users uses using usually v version very volunteers was we weights were when where whether
which while who will windows with within without worse would yet you your
""".split())  # noqa: SIM905
_LETTERS = re.compile(r"[^\W\d_]+")
_ADDRESS = re.compile(r"https?://\S+")
_AMBIGUOUS = frozenset({"may", "will", "mark", "rose", "grant"})  # first names, where capitalized
_PIECE = re.compile(r"[A-ZÀ-Þ]?[a-zß-öø-ÿ]+|[A-ZÀ-Þ]+(?![a-zß-öø-ÿ])|[^\W\d_]+")
_PLACES = ("Nz|N|Fp|AFp|AF|AFF|F|FF|FFT|FFC|FT|FC|FTT|FCC|T|C|TT|TTP|CCP|TP|CP|TPP|CPP|P|PP|PPO|PO|"
           "POO|O|OI|I|A|M|LPA|RPA|SP|PG|CB|Ref")
_ELECTRODE = rf"(?:{_PLACES})(?:\d{{0,2}}h?|z)'?"
# Electrodes, also in pairs and with what recorders put around them; sensors of MEG and of nets.
_CHANNEL = re.compile(
    rf"(?:EEG[ _-]*)?{_ELECTRODE}(?:[-_:/ ](?:{_ELECTRODE}|REF|LE|AR|AVG|AV|A1A2|M1M2|A2|\d))*\.*|"
    r"(?:EEG|MEG|MAG|GRAD|E|EX|EXG|CH|Ch|EOG|HEOG|VEOG|ECG|EKG|EMG|STI|MISC|BIO|REF|GSR|RESP|AUX|DC|"
    r"ROI|roi|parcel|source|net|sensor|channel|[A-H])[ _-]*\d{1,4}(?:[-_]\d{1,4})?|"
    r"M[LRZ][CFOPT]\d{2}(?:-\d{1,4})?|S\d+_D\d+(?: (?:\d+|hbo|hbr))?", re.IGNORECASE)
_LONGEST_NUMBER = 5  # digits: longer ones are dates, and numbers of people
_LONGEST = 100  # characters of a text that is taken for a label at all


def is_known(text: str) -> bool:
    """Whether a text is a number, a short code, a channel, or made of these words alone."""
    text = text.strip()
    if _CHANNEL.fullmatch(text):
        return True
    if len(text) > _LONGEST or any(len(each) > _LONGEST_NUMBER
                                   for each in re.findall(r"\d+", text)):
        return False
    pieces = _PIECE.findall(text)
    coded = any(map(str.isdigit, text)) and sum(map(len, pieces)) <= 2  # S1, T12, ev 3
    return coded or all(len(piece) == 1 or _is_word(piece.casefold()) for piece in pieces)


def _is_word(piece: str) -> bool:
    return piece in _WORDS or (piece.endswith("s") and piece[:-1] in _WORDS)


def strangers(text: str, *, prose: bool = False) -> list[str]:
    """Words of a text that could be somebody's name: those of two and more letters that are none of
    ours. prose: of sentences, in which a name is capitalized; other words pass."""
    found = []
    for word in _LETTERS.findall(_ADDRESS.sub(" ", text)):
        capital, plain = word[0].isupper(), word.casefold()
        if len(word) < 2 or (prose and not capital) or word in found:
            continue
        known = plain in _PROSE or all(_is_word(piece.casefold()) or piece.casefold() in _PROSE
                                       for piece in _PIECE.findall(word))
        if not known or (capital and plain in _AMBIGUOUS):
            found.append(word)
    return found
