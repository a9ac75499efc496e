// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IMarket} from "./interfaces/IMarket.sol";
import {Messages} from "./libraries/Messages.sol";
import {Terms} from "./libraries/Terms.sol";
import {Resolution} from "./Resolution.sol";
import {Rounds} from "./Rounds.sol";
import {Seats} from "./Seats.sol";
import {Staking} from "./Staking.sol";
import {Vault} from "./Vault.sol";
import {Views} from "./Views.sol";
import {Voting} from "./Voting.sol";

/// @title Market: the only contract that holds money
/// @notice No owner, no upgrade, no pause (P1.2). The interface says what every function does.
/// @dev Read on in the order of a job's life: Ledger, Seats, Jobs (storage), here, Rounds, Demands, Settlement.
contract Market is EIP712, Vault, Staking, Voting, Views {
    using SafeCast for uint256;

    /// @dev Windows are stored in 24 bits.
    uint32 private constant MAX_WINDOW = type(uint24).max;

    // The bounds of P1.5, one immutable each: reading them from storage would cost every `post` three slots.
    uint64 private immutable _BID;
    uint64 private immutable _WORK;
    uint64 private immutable _RELEASE;
    uint64 private immutable _COMMIT;
    uint64 private immutable _REVEAL;
    uint64 private immutable _CHALLENGE;
    uint32 private immutable _SHARD_BYTES;
    uint64 private immutable _WEIGHTS_BYTES;
    uint64 private immutable _OPERATIONS_PER_SECOND;

    address private immutable _RESOLUTION;

    /// @inheritdoc IMarket
    uint96 public immutable minimumFee;

    mapping(address provider => mapping(uint256 word => uint256)) private _spentNonces;

    /// @param token_ a plain ERC-20 (P1.2)
    /// @param seatStake_ S, @param minimumFee_ least f; a fee must fit between it and S/32
    /// @param beacon_ source of seeds, or zero for the chain's own block hashes
    constructor(address token_, uint96 seatStake_, uint96 minimumFee_, address beacon_, Limits memory limits_)
        EIP712("Heldout", "1")
        Vault(token_)
        Seats(seatStake_, _exitDelayOf(limits_))
        Rounds(beacon_)
    {
        if (minimumFee_ == 0 || minimumFee_ > seatStake_ / 32) revert BadLimits();
        minimumFee = minimumFee_;
        _RESOLUTION = address(new Resolution(seatStake_, _EXIT_DELAY, beacon_));
        _BID = _packed(limits_.bid);
        _WORK = _packed(limits_.work);
        _RELEASE = _packed(limits_.release);
        _COMMIT = _packed(limits_.commit);
        _REVEAL = _packed(limits_.reveal);
        _CHALLENGE = _packed(limits_.challenge);
        _SHARD_BYTES = limits_.shardBytes;
        _WEIGHTS_BYTES = limits_.weightsBytes;
        _OPERATIONS_PER_SECOND = limits_.operationsPerSecond;
    }

    /// @inheritdoc IMarket
    function limits() public view returns (Limits memory) {
        return Limits({
            bid: _unpacked(_BID),
            work: _unpacked(_WORK),
            release: _unpacked(_RELEASE),
            commit: _unpacked(_COMMIT),
            reveal: _unpacked(_REVEAL),
            challenge: _unpacked(_CHALLENGE),
            shardBytes: _SHARD_BYTES,
            weightsBytes: _WEIGHTS_BYTES,
            operationsPerSecond: _OPERATIONS_PER_SECOND
        });
    }

    /// @inheritdoc IMarket
    function hashTerms(JobTerms calldata terms) public view returns (bytes32 id) {
        return _hashTypedDataV4(Messages.hash(terms));
    }

    /// @inheritdoc IMarket
    function hashBid(Bid calldata bid) public view returns (bytes32 digest) {
        return _hashTypedDataV4(Messages.hash(bid));
    }

    /// @inheritdoc IMarket
    function bidSpent(address provider, uint256 nonce) public view returns (bool) {
        return _spentNonces[provider][nonce >> 8] & (1 << (nonce & 0xff)) != 0;
    }

    /// @inheritdoc IMarket
    function post(JobTerms calldata terms) external returns (bytes32 id) {
        id = hashTerms(terms);
        _post(id, terms);
    }

    /// @inheritdoc IMarket
    function accept(JobTerms calldata terms, Bid[] calldata bids, bytes[] calldata signatures) external {
        _accept(hashTerms(terms), terms, bids, signatures);
    }

    /// @inheritdoc IMarket
    function open(JobTerms calldata terms, Bid[] calldata bids, bytes[] calldata signatures)
        external
        returns (bytes32 id)
    {
        id = hashTerms(terms);
        _post(id, terms);
        _accept(id, terms, bids, signatures);
    }

    /// @inheritdoc IMarket
    function cancel(bytes32 id) external {
        Job storage job = _jobs[id];
        _requireState(id, job, State.Open);
        if (msg.sender != job.requester) revert NotRequester(msg.sender, job.requester);
        _takeBack(id, job, Outcome.Cancelled);
    }

    /// @inheritdoc IMarket
    function expire(bytes32 id) external {
        Job storage job = _jobs[id];
        _requireState(id, job, State.Open);
        _requireAfter(job.deadline);
        _takeBack(id, job, Outcome.Expired);
    }

    /// @inheritdoc IMarket
    function cancelBid(uint256 nonce) external {
        _spentNonces[msg.sender][nonce >> 8] |= 1 << (nonce & 0xff);
        emit BidCancelled(msg.sender, nonce);
    }

    /// @inheritdoc IMarket
    function submit(bytes32 id, uint8 lane, bytes32 word) external {
        Job storage job = _jobs[id];
        _requireState(id, job, State.Running);
        _requireBefore(job.deadline);
        if (lane >= job.lanes || job.lane[lane].provider != msg.sender) revert NotProvider(msg.sender, lane);
        uint8 bit = uint8(1) << lane;
        if (job.submitted & bit != 0) revert AlreadySubmitted(id, lane);
        if (word == 0) revert ZeroWord();
        if (word == _NO_KEYS) {
            bool isAnswered = (job.demanded & ~job.pending) >> _REQUESTER & 1 != 0;
            if (!isAnswered) revert KeysNotAnswered(id);
            job.noKeys |= bit;
        }
        uint8 submitted = job.submitted | bit;
        job.submitted = submitted;
        job.lane[lane].word = word;
        emit Submitted(id, msg.sender, lane, word);
        if (submitted == _allLanes(job)) _startRound(id, job);
    }

    /// @inheritdoc IMarket
    function announce(bytes calldata message) external {
        emit Announced(msg.sender, message);
    }

    /// @inheritdoc IMarket
    function demand(bytes32, uint8, uint256) external {
        Address.functionDelegateCall(_RESOLUTION, msg.data);
    }

    /// @inheritdoc IMarket
    function answer(bytes32, uint8, bytes calldata) external {
        Address.functionDelegateCall(_RESOLUTION, msg.data);
    }

    /// @inheritdoc IMarket
    function close(bytes32) external {
        Address.functionDelegateCall(_RESOLUTION, msg.data);
    }

    /// @inheritdoc IMarket
    function appeal(bytes32, uint256) external {
        Address.functionDelegateCall(_RESOLUTION, msg.data);
    }

    /// @inheritdoc IMarket
    function settle(JobTerms calldata) external {
        Address.functionDelegateCall(_RESOLUTION, msg.data);
    }

    function _post(bytes32 id, JobTerms calldata terms) private {
        if (msg.sender != terms.requester) revert NotRequester(msg.sender, terms.requester);
        Job storage job = _jobs[id];
        if (job.state != State.None) revert JobExists(id);
        Terms.check(terms, limits(), minimumFee, _SEAT_STAKE);
        uint256 prices = uint256(terms.lanes) * terms.priceCap;
        uint96 escrow = (prices + uint256(terms.committee) * terms.fee + terms.bond).toUint96();
        _lock(msg.sender, escrow);

        (job.state, job.lanes, job.committee) = (State.Open, terms.lanes, terms.committee);
        job.locked = escrow;
        (job.requester, job.fee) = (msg.sender, terms.fee);
        emit Posted(id, msg.sender, terms);
        emit Locked(id, msg.sender, Purpose.Refund, escrow);
        _setDeadline(id, job, uint40(block.timestamp) + terms.bidWindow);
    }

    function _accept(bytes32 id, JobTerms calldata terms, Bid[] calldata bids, bytes[] calldata signatures) private {
        Job storage job = _jobs[id];
        _requireState(id, job, State.Open);
        if (msg.sender != terms.requester) revert NotRequester(msg.sender, terms.requester);
        _requireBefore(job.deadline);
        uint256 lanes = bids.length;
        if (lanes == 0 || lanes > terms.lanes || signatures.length != lanes) revert WrongBidCount(lanes, terms.lanes);
        _requireEnoughSeats(terms.committee);

        uint256 value;
        for (uint8 lane; lane < lanes; ++lane) {
            _requireValid(id, terms, bids[lane], signatures[lane]);
            value += bids[lane].price;
            _bind(id, job, lane, bids[lane], terms.collateral);
        }
        _requireCovered(terms, value);

        uint256 unused = uint256(terms.lanes) * terms.priceCap - value;
        job.locked = (job.locked + lanes * terms.collateral - unused).toUint96();
        job.lanes = uint8(lanes); // at most terms.lanes
        _fix(job, terms);
        emit Accepted(id, bids, job.seatCount);
        if (unused != 0) {
            _credit(msg.sender, unused);
            _unlock(unused, 0);
            emit Paid(id, msg.sender, Purpose.Refund, unused);
        }
        _enter(id, job, State.Running);
    }

    /// @dev Whether these terms and that bid fit, and the provider said so.
    function _requireValid(bytes32 id, JobTerms calldata terms, Bid calldata bid, bytes calldata signature)
        private
        view
    {
        if (bid.job != id) revert BidForOtherJob(id, bid.job);
        if (block.timestamp > bid.validUntil) revert BidExpired(block.timestamp, bid.validUntil);
        if (bid.price > terms.priceCap) revert BidAboveCap(bid.price, terms.priceCap);
        if (bidSpent(bid.provider, bid.nonce)) revert BidSpent(bid.provider, bid.nonce);
        if (!SignatureChecker.isValidSignatureNowCalldata(bid.provider, hashBid(bid), signature)) {
            revert BadSignature(bid.provider);
        }
    }

    function _bind(bytes32 id, Job storage job, uint8 lane, Bid calldata bid, uint96 collateral) private {
        for (uint256 i; i < lane; ++i) {
            if (job.lane[i].provider == bid.provider) revert DuplicateProvider(bid.provider);
        }
        (job.lane[lane].provider, job.lane[lane].price) = (bid.provider, bid.price);
        _lock(bid.provider, collateral);
        emit Locked(id, bid.provider, Purpose.Collateral, collateral);
    }

    /// @dev What decides the job must be worth more than the job (P2.2).
    function _requireCovered(JobTerms calldata terms, uint256 value) private view {
        uint256 greatest = uint256(_SEAT_STAKE) * (terms.committee + 1) / 4;
        if (value > greatest) revert StakeTooSmall(value, greatest);
        uint256 least = (value + 4) / 5; // 20 %, rounded up
        if (terms.bond < least) revert BondTooSmall(terms.bond, least);
    }

    function _requireEnoughSeats(uint256 n) private view {
        (uint256 live, uint256 quarter) = (_liveSeats, (uint256(_seatCount) + 3) / 4);
        uint256 least = 8 * n > quarter ? 8 * n : quarter;
        if (live < least) revert TooFewSeats(live, least);
    }

    /// @dev Slot 2 of the job: fixed from here on, for all rounds.
    function _fix(Job storage job, JobTerms calldata terms) private {
        job.acceptBlock = uint40(block.number);
        job.seatCount = _seatCount;
        // the constructor bounds all windows by MAX_WINDOW
        job.workWindow = uint24(terms.workWindow);
        job.releaseWindow = uint24(terms.releaseWindow);
        job.commitWindow = uint24(terms.commitWindow);
        job.revealWindow = uint24(terms.revealWindow);
        job.challengeWindow = uint24(terms.challengeWindow);
    }

    /// @dev Nobody was bound: the whole escrow goes back.
    function _takeBack(bytes32 id, Job storage job, Outcome outcome) private {
        uint96 escrow = job.locked;
        address requester = job.requester;
        (job.state, job.outcome, job.locked) = (State.Settled, outcome, 0);
        _credit(requester, escrow);
        _unlock(escrow, 0);
        emit Paid(id, requester, Purpose.Refund, escrow);
        emit Moved(id, State.Settled, 0, uint40(block.timestamp));
        emit Settled(id, outcome, 0);
    }

    /// @dev Longer than three longest rounds (P5.5): a window to commit, one after a reseed, one after each of nine demands,
    /// a reveal, and a challenge with nine demands of its own.
    function _exitDelayOf(Limits memory limits_) private pure returns (uint40) {
        uint40 commits = 11 * (uint40(limits_.release.greatest) + limits_.commit.greatest);
        uint40 challenges = 10 * (uint40(limits_.release.greatest) + limits_.challenge.greatest);
        return 3 * (commits + limits_.reveal.greatest + challenges) + 1;
    }

    function _packed(Window memory window) private pure returns (uint64) {
        if (window.least == 0 || window.least > window.greatest || window.greatest > MAX_WINDOW) revert BadLimits();
        return uint64(window.greatest) << 32 | window.least;
    }

    function _unpacked(uint64 window) private pure returns (Window memory) {
        // the lower half
        return Window(uint32(window), uint32(window >> 32));
    }
}
